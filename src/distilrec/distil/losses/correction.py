"""Losses that look at the student's own ranking first, to teach what it has wrong; each gives one number a row, `[R]`.

As in `ranking`, a row's loss is the mean over its list, and an empty list costs 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distilrec.distil.losses.draws import draw_columns
from distilrec.distil.losses.lists import (
    check_above_zero,
    check_count,
    check_same_rows,
    check_same_shape,
    find_columns,
    prepared,
)
from distilrec.distil.losses.ranking import relaxed_ranking
from distilrec.distil.losses.rows import NEVER
from distilrec.errors import SettingsError


def dual_correction(
    student_logits: Tensor,
    teacher_logits: Tensor | None = None,
    *,
    generator: torch.Generator,
    n_corrected: int = 10,
    sharpness: float = 0.05,
    listed: Tensor | None = None,
) -> Tensor:
    """DCD: items that the student ranks too low shall stand in the teacher's order above those that it ranks too high.

    Ranks are those within the list. Items are drawn without replacement by `tanh(sharpness * max(d, 0))`, where d is
    the student's rank less the teacher's for the underestimated and the opposite for the overestimated; the loss is
    `relaxed_ranking` with the first as interesting and the second as uninteresting. Lee and Kim, CIKM 2021, which adds
    it to RRD, for both sides: transposed scores correct for which histories an item ranks high.

    Needs of the teacher: the order of long lists (only what is listed can be overestimated). Beside `relaxed_ranking`
    it leaves alone what the student has right, so on its own it forgets that; beside `rejuvenated_cross_entropy` it
    knows orders, not probabilities. It fails quietly with short lists: nothing is ever far from its place. A row
    without mistakes costs 0.

    Args:
        student_logits: `[R, K]`.
        teacher_logits: of the same items, `[R, K]`; none means that the columns stand in the teacher's order.
        generator: of the draws.
        n_corrected: how many items are drawn of each kind.
        sharpness: per rank; from about `1 / sharpness` ranks on, mistakes count alike.
        listed: which are real, `[R, K]`; none means all.
    """
    student, listed = prepared(student_logits, listed)
    check_count("n_corrected", n_corrected)
    check_above_zero("sharpness", sharpness)
    if teacher_logits is None:
        teacher_ranks = listed.cumsum(dim=1) - 1
    else:
        check_same_shape("teacher_logits", teacher_logits, student)
        teacher_ranks = _ranks(teacher_logits, listed)
    mistaken = torch.where(listed, _ranks(student, listed) - teacher_ranks, 0)  # [R, K]
    low, high = (
        draw_columns(torch.tanh(sharpness * d.clamp(min=0)).log(), n_corrected, generator=generator)
        for d in (mistaken, -mistaken)
    )
    low = _sorted_by(low, teacher_ranks)
    chosen = [student.gather(1, columns.clamp(min=0)) for columns in (low, high)]
    return relaxed_ranking(*chosen, listed=low >= 0, uninteresting_listed=high >= 0)


def _ranks(logits: Tensor, listed: Tensor) -> Tensor:
    """Each item's rank within its list, from 0, `[R, K]`; what is not listed comes last."""
    order = torch.where(listed, logits.detach(), float("-inf")).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(logits.shape[1], device=logits.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _sorted_by(columns: Tensor, ranks: Tensor) -> Tensor:
    """Columns `[R, k]` by their ranks, lowest first, -1 last."""
    keys = torch.where(columns >= 0, ranks.gather(1, columns.clamp(min=0)), ranks.shape[1])
    return columns.gather(1, keys.argsort(dim=1))


@dataclass(frozen=True, eq=False)
class ScoredList:
    """Items of every row, and what both models score them; all `[R, K]`."""

    items: Tensor  # each once in a row, -1 after the end
    student_logits: Tensor
    teacher_logits: Tensor


def rejuvenated_cross_entropy(
    teacher_list: ScoredList,
    student_list: ScoredList,
    closure: ScoredList,
    *,
    temperature: float = 1.0,
    sharpness: float = 1.0,
) -> Tensor:
    """RCE-KD: the teacher's probabilities over the student's own best items, and over what it misses of the teacher's.

    `(1 - g) CE(student_list) + g CE(missed + closure)`, where CE compares the two softmaxes over the items of a list,
    the missed are those of the teacher's list that are not in the student's, and `g = exp(-sharpness * share)` with the
    share of the teacher's list that is. Zhu and Zhang, "Rejuvenating Cross-Entropy Loss in Knowledge Distillation for
    Recommender Systems", ICLR 2026: a cross-entropy over some items bounds NDCG only where all that the student ranks
    above them are among them. The student's top list is such a set; the second is made nearly one by `sample_closure`.
    Both follow the paper's abstract and public summaries of it, not its text, and may differ from it in detail.

    Needs of the teacher: logits of any item (`look_up` makes them of lists). Beside a cross-entropy over the teacher's
    list alone, it also pushes down what the student wrongly puts first; beside one over the whole catalogue it is an
    approximation for catalogues too large for that. It fails quietly with a closure that is stale or from elsewhere
    than the student's top list: then it is that plain cross-entropy again.

    Args:
        teacher_list: the teacher's best items.
        student_list: the student's best items (`top_items`), about as many.
        closure: items drawn by `sample_closure`; what is also in the teacher's list counts once.
        temperature: of both models.
        sharpness: how fast the weight moves to the first part as the two lists come to agree.
    """
    lists = (teacher_list, student_list, closure)
    _check_scored(lists)
    check_above_zero("temperature", temperature)
    if not sharpness >= 0:
        raise SettingsError(f"sharpness is {sharpness}; expected 0 or more")
    listed = teacher_list.items >= 0
    agreed = find_columns(teacher_list.items, student_list.items) >= 0  # [R, K]
    missed = listed & ~agreed & (find_columns(teacher_list.items, closure.items) < 0)
    first = _cross_entropy((student_list,), (student_list.items >= 0,), temperature)
    second = _cross_entropy((teacher_list, closure), (missed, closure.items >= 0), temperature)
    n_listed = listed.sum(dim=1)
    weight = torch.exp(-sharpness * agreed.sum(dim=1) / n_listed.clamp(min=1))  # [R]
    return torch.where(n_listed > 0, (1 - weight) * first + weight * second, 0.0)


def _cross_entropy(lists: tuple[ScoredList, ...], listed: tuple[Tensor, ...], temperature: float) -> Tensor:
    """Of the student's softmax with the teacher's, over the listed items of all the lists together, `[R]`."""
    never = ~torch.cat(listed, dim=1)
    student = _joined([one.student_logits for one in lists], never, temperature)
    teacher = _joined([one.teacher_logits.detach() for one in lists], never, temperature)
    shares = torch.softmax(teacher, dim=1).masked_fill(never, 0.0)  # all zeros where nothing is listed
    return -(shares * torch.log_softmax(student, dim=1)).sum(dim=1)


def _joined(parts: list[Tensor], never: Tensor, temperature: float) -> Tensor:
    """Lists beside each other, at the temperature, in float32 or wider."""
    logits = torch.cat(parts, dim=1)
    return (logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature).masked_fill(never, NEVER)


def _check_scored(lists: tuple[ScoredList, ...]) -> None:
    for name, one in zip(("the teacher's list", "the student's list", "the closure"), lists, strict=True):
        check_same_rows(f"items of {name}", one.items, lists[0].items)
        check_same_shape(f"student_logits of {name}", one.student_logits, one.items)
        check_same_shape(f"teacher_logits of {name}", one.teacher_logits, one.items)
