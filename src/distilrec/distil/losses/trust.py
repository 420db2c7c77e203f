"""How far to believe a teacher at each position: weights, made of what it said, never with gradients.

All lie inside [0, 1], but for `importance_weights`, whose rows sum to 1. Weights of a mean below 1 also make the
teacher count less in all; `mean_one` takes that away.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilrec.distil.losses.rows import above_zero
from distilrec.errors import SettingsError

_TINY = torch.finfo(torch.float32).tiny


def entropy(shares: Tensor) -> Tensor:
    """Of each row of probabilities, in nats: [c, N] -> [c]; a row of zeros has 0."""
    shares = shares.detach()
    return -(shares * shares.clamp(min=_TINY).log()).sum(dim=1, dtype=torch.float32)


def confidence(shares: Tensor) -> Tensor:
    """How sure a teacher is: 1 for one item alone, 0 for all alike, and 0 where it says nothing.

    `1 - H(q) / log N`.

    Source: the entropy weights of Kwon et al. (ICASSP 2020, "Adaptive knowledge distillation based on entropy"), with
    N of one's own so that catalogues compare.

    Args:
        shares: the teacher's probabilities, `[c, N]`; rows of zeros where it is silent.

    Needs soft labels alone. It fails quietly with a teacher that is sure and wrong, as one is on the rows it was
    trained on: use it with a cross-fitted or a calibrated teacher, or beside `target_trust`.
    """
    n_items = shares.shape[1] if shares.ndim == 2 else 0
    if n_items < 2:
        raise SettingsError(f"shares have shape {tuple(shares.shape)}; confidence needs [c, N] of at least two items")
    in_nats = entropy(shares)
    sure = (1 - in_nats / math.log(n_items)).clamp(min=0, max=1)
    if (in_nats == 0).any():  # all on one item, or silent
        sure = torch.where(shares.sum(dim=1) > 0, sure, 0)
    return sure


def target_ranks(shares: Tensor, targets: Tensor) -> Tensor:
    """Where a teacher ranks the item that came next, [c] from 1; among items it holds alike, in the middle of them."""
    if shares.ndim != 2 or targets.shape != shares.shape[:1]:
        raise SettingsError(
            f"shares have shape {tuple(shares.shape)} and targets {tuple(targets.shape)}; expected [c, N] and [c]"
        )
    shares = shares.detach()
    own = shares.gather(1, targets[:, None])  # [c, 1]
    above_less_below = (shares - own).sign().sum(dim=1, dtype=torch.float32)  # four times as fast as counting
    return (shares.shape[1] + 1 + above_less_below) / 2


def target_trust(shares: Tensor, targets: Tensor, *, half_rank: float = 10.0) -> Tensor:
    """How well a teacher knew the answer: 1 where it ranks the item that came next first, 1/2 at `half_rank` below.

    `h / (h + rank - 1)`.

    Source: conditional teacher-student learning (Meng et al., ICASSP 2019) believes a teacher where it is right, and
    the label elsewhere; here by rank, since the first of a whole catalogue is rarely right.

    Args:
        shares: the teacher's probabilities, `[c, N]`.
        targets: the item that came next, `[c]`.

    Needs the answer, so it says nothing of positions without one. Beside `confidence` it can tell a teacher that is
    sure and wrong. It fails quietly on rows the teacher was trained on, whose answers it knows by heart: all are
    trusted, so cross-fit it.
    """
    above_zero("half_rank", half_rank)
    return half_rank / (half_rank + target_ranks(shares, targets) - 1)


def agreement(
    teacher_shares: Tensor, student_shares: Tensor, *, kind: Literal["overlap", "jensen_shannon"] = "overlap"
) -> Tensor:
    """How much a student already thinks like its teacher: 1 for the same probabilities, 0 for none in common.

    `overlap`: `sum_i min(q_i, p_i)`, which is 1 less the total variation; `jensen_shannon`: `1 - JS(q, p) / log 2`,
    three times as slow.

    Args:
        teacher_shares: `[c, N]`.
        student_shares: `[c, N]`.

    Needs soft labels alone. Low for a young student everywhere, and growing, so it is a curriculum too. It fails
    quietly as an echo: what the student does not think yet is never taught; give it a small power.
    """
    if teacher_shares.shape != student_shares.shape or teacher_shares.ndim != 2:
        raise SettingsError(
            f"the teacher's shares have shape {tuple(teacher_shares.shape)} and the student's "
            f"{tuple(student_shares.shape)}; expected [c, N] twice"
        )
    teacher, student = teacher_shares.detach(), student_shares.detach()
    if kind == "overlap":
        common = torch.minimum(teacher, student).sum(dim=1, dtype=torch.float32)
    elif kind == "jensen_shannon":
        apart = entropy((teacher + student) / 2) - (entropy(teacher) + entropy(student)) / 2
        common = torch.where(teacher.sum(dim=1) > 0, 1 - apart / math.log(2), 0)
    else:
        raise SettingsError(f"agreement is {kind!r}; expected overlap or jensen_shannon")
    return common.clamp(min=0, max=1)


def importance_weights(
    teacher_items: Tensor,
    teacher_shares: Tensor,
    student_items: Tensor,
    *,
    position: float = 0.3,
    confidence: float = 0.5,
    consistency: float = 0.1,
    sharpness: float = 1.0,
) -> Tensor:
    """How much each item of a teacher's list counts: by its place, its confidence, and whether the student lists it.

    `w = a exp(-r / b) / Z + c q / Z' + d [the student lists it too]`, scaled to a sum of 1 over the list; `Z` and `Z'`
    scale their part to a sum of 1, `r` is the place from 1, `b` the sharpness.

    Source: DLLM2Rec (Cui et al., RecSys 2024), with its defaults; there `q` is `exp(-distance)` between the item that
    a language model wrote and the nearest of the catalogue. Here it is any number that is not negative.

    Args:
        teacher_items: best first, `[R, K]`, -1 after the end of a list.
        teacher_shares: its probabilities of them, or another confidence, `[R, K]`.
        student_items: the student's own best, `[R, K']`, -1 after the end.

    Returns:
        `[R, K]`; 0 after the end of a list.

    Needs lists, for a loss with a number for each of their items. Unlike all others here it weighs items of a row, not
    rows. It fails quietly at the defaults of a long list, where nearly all weight is on the first two places.
    """
    _check_lists(teacher_items, teacher_shares, student_items)
    above_zero("sharpness", sharpness)
    if min(position, confidence, consistency) < 0 or position + confidence + consistency <= 0:
        raise SettingsError(
            f"importance has weights {position}, {confidence} and {consistency}; expected none below 0 and one above"
        )
    listed = teacher_items >= 0  # [R, K]
    places = torch.arange(1, teacher_items.shape[1] + 1, device=listed.device)
    first = _to_sum_one(torch.exp(-places / sharpness) * listed)
    sure = _to_sum_one(teacher_shares.detach().float() * listed)
    shared = (teacher_items[:, :, None] == student_items[:, None, :]).any(dim=2) & listed
    return _to_sum_one(position * first + confidence * sure + consistency * shared)


def advantage_weights(
    teacher_metric: NDArray[Any],
    student_metric: NDArray[Any],
    strata: NDArray[Any],
    *,
    n_strata: int | None = None,
    shrink_cases: float = 200.0,
) -> NDArray[np.float32]:
    """How much better a teacher is than its student alone, measured on validation by kinds of cases: 1/2 for alike.

    `T / (T + S)` for each stratum, where `T = (sum of its teacher's metric + m * mean of all) / (n + m)`, `S` likewise
    for the student: a stratum of few cases is drawn towards all cases, as if `m` more of them had been seen.

    Args:
        teacher_metric: such as NDCG@10 of each validation case, `[C]`, none below 0.
        student_metric: of a student that was trained alone, on the same cases.
        strata: a number from 0 for each case, `[C]`: how popular the answer is, how long the history.
        n_strata: how many there are; those without cases get what all cases say.
        shrink_cases: `m`; small and it follows noise, large and all strata are alike.

    Returns:
        `[n_strata]` float32 inside [0, 1]: 0 where only the student ever hits, 1 where only the teacher does, 1/2
        where neither does.

    It fails quietly where cases were used to choose the teacher and not the student: the teacher looks better than it
    is.
    """
    teacher, student, kinds = (np.asarray(values) for values in (teacher_metric, student_metric, strata))
    count = int(kinds.max(initial=-1)) + 1 if n_strata is None else n_strata
    _check_cases(teacher, student, kinds, count, shrink_cases)
    cases = np.bincount(kinds, minlength=count)  # [n_strata]
    shrunk = [
        (np.bincount(kinds, weights=metric, minlength=count) + shrink_cases * metric.mean()) / (cases + shrink_cases)
        for metric in (teacher, student)
    ]
    total = shrunk[0] + shrunk[1]
    return np.where(total > 0, shrunk[0] / np.where(total > 0, total, 1), 0.5).astype(np.float32)


def mean_one(weights: Tensor) -> Tensor:
    """The same weights with a mean of 1, [R]; zeros stay zeros. It keeps how much a loss counts in all."""
    mean = weights.mean() if len(weights) else weights.sum()
    return weights / torch.where(mean > 0, mean, 1)


def _to_sum_one(weights: Tensor) -> Tensor:
    total = weights.sum(dim=1, keepdim=True)
    return weights / torch.where(total > 0, total, 1)


def _check_lists(items: Tensor, shares: Tensor, student: Tensor) -> None:
    if items.ndim != 2 or items.shape != shares.shape or student.ndim != 2 or len(student) != len(items):
        raise SettingsError(
            f"the teacher's lists have shapes {tuple(items.shape)} and {tuple(shares.shape)} and the student's "
            f"{tuple(student.shape)}; expected [R, K] twice and [R, _]"
        )
    if shares.numel() and not float(shares.min()) >= 0:  # NaN is refused too
        raise SettingsError("the teacher's confidences go below 0 or are NaN; expected probabilities, not logits")


def _check_cases(
    teacher: NDArray[Any], student: NDArray[Any], strata: NDArray[Any], n_strata: int, shrink_cases: float
) -> None:
    above_zero("shrink_cases", shrink_cases)
    if teacher.ndim != 1 or not len(teacher) or not teacher.shape == student.shape == strata.shape:
        raise SettingsError(
            f"the teacher's metric has shape {teacher.shape}, the student's {student.shape} and strata {strata.shape}; "
            "expected (C,) three times, one a validation case"
        )
    if not (np.isfinite(teacher).all() and np.isfinite(student).all() and min(teacher.min(), student.min()) >= 0):
        raise SettingsError("a metric goes below 0 or is not finite; expected one such as NDCG@10, from 0 up")
    if strata.min() < 0 or strata.max() >= n_strata:
        raise SettingsError(f"strata go from {strata.min()} to {strata.max()}; expected 0 to {n_strata - 1}")
