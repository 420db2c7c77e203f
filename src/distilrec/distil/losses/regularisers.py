"""Losses that hold a student's answers in shape: how sure they are, whether two views agree, how high they score.

All but the contrastive one work on logits of lists, `[R, K]`, of the whole catalogue or of some items of each row.
`listed` says which of them count, where lists are of different lengths.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from distilrec.distil.losses.rows import NEVER, above_zero, sample_rows, unit, wide
from distilrec.errors import SettingsError


def entropy_regulariser(
    student_logits: Tensor,
    *,
    teacher_entropy: Tensor | None = None,
    temperature: float = 1.0,
    listed: Tensor | None = None,
) -> Tensor:
    """How sure the student is beside how sure it should be, a number a row, in shares of the largest entropy.

    With `h = H(softmax(z / T)) / log K`: without a teacher `1 - h`, from 0 for all alike to 1 for one item alone; with
    one `(h - H_T / log K)**2`.

    Source: the confidence penalty (Pereyra et al., ICLR 2017 workshop), whose reward of entropy is this up to a
    constant. With a negative weight it makes answers sharper instead.

    Args:
        student_logits: `[R, K]`, K above 1.
        teacher_entropy: `trust.entropy` of its shares over the same items, in nats, `[R]`.
        listed: `[R, K]`, True where an item counts; a row of fewer than two gives 0.

    Needs nothing from a teacher, or one number a row. Label smoothing pulls towards even shares with the divergence the
    other way round, which never forgives a share near 0; this does. With a teacher it matches how sure, not of what:
    soft labels already teach both, so it helps beside hard labels or lists. It fails quietly with a teacher's entropy
    of the whole catalogue beside logits of a list: the two can never meet.
    """
    above_zero("temperature", temperature)
    logits, counted = _lists(student_logits, listed)
    logs = torch.log_softmax(logits / temperature, dim=1)  # [R, K]
    entropy = -(logs.exp() * logs.clamp(min=NEVER)).sum(dim=1)  # [R]
    count = counted.sum(dim=1)
    share = entropy / count.clamp(min=2).log()
    if teacher_entropy is None:
        return torch.where(count > 1, 1 - share, 0)
    if teacher_entropy.shape != share.shape:
        raise SettingsError(
            f"the teacher's entropy has shape {tuple(teacher_entropy.shape)}; expected ({len(share)},), one a row"
        )
    wanted = teacher_entropy.detach().to(share.dtype) / count.clamp(min=2).log()
    return torch.where(count > 1, (share - wanted).square(), 0)


def logit_mse(
    student_logits: Tensor, teacher_logits: Tensor, *, centred: bool = True, listed: Tensor | None = None
) -> Tensor:
    """The mean squared difference of logits, a number a row.

    `mean_k (z_k^S - z_k^T)**2`, where `centred` first takes each row's mean from both.

    Source: Ba and Caruana (NeurIPS 2014); Kim et al. (IJCAI 2021) against the divergence; to it a softmax divergence
    tends as its temperature grows (Hinton et al. 2015).

    Args:
        student_logits: `[R, K]`, K above 1.
        teacher_logits: of the same items, `[R, K]`.
        centred: a softmax does not see a number added to all logits of a row, so neither does the loss. Without, the
            student must also learn the teacher's level, which no ranking needs.
        listed: `[R, K]`, True where an item counts; a row without any gives 0.

    Needs the teacher's logits, not its probabilities. Unlike soft labels, an item at the bottom counts as much as one
    at the top: give it lists, not the catalogue. It fails quietly where the teacher's logits are on another scale
    (cosines, a sum over an ensemble): the student learns that temperature too.
    """
    if student_logits.shape != teacher_logits.shape:
        raise SettingsError(
            f"the student's logits have shape {tuple(student_logits.shape)} and the teacher's "
            f"{tuple(teacher_logits.shape)}; expected [R, K] twice, of the same items"
        )
    student, counted = _lists(student_logits, listed)
    teacher = teacher_logits.detach().to(student.dtype)
    count = counted.sum(dim=1).clamp(min=1)  # [R]
    apart = (student - teacher).masked_fill(~counted, 0)
    if centred:
        apart = (apart - (apart.sum(dim=1) / count)[:, None]) * counted
    return apart.square().sum(dim=1) / count


def view_consistency(first_logits: Tensor, second_logits: Tensor, *, listed: Tensor | None = None) -> Tensor:
    """How far two views of a history give different answers, a number a row.

    `(KL(p || q) + KL(q || p)) / 2`, where `p` and `q` are the softmax over the same items; gradients go to both.

    Source: R-Drop (Wu et al., NeurIPS 2021), whose views are two draws of dropout.

    Args:
        first_logits: `[R, K]`, K above 1.
        second_logits: of the same items from another view, `[R, K]`.
        listed: `[R, K]`, True where an item counts.

    Needs nothing from a teacher; with a teacher's answer to the clean history beside the student's to a changed one,
    soft labels are that already. Beside `view_consistency_contrastive` it compares answers, not vectors. It fails
    quietly where a view changes what should come next, as a crop of the newest items does.
    """
    if first_logits.shape != second_logits.shape:
        raise SettingsError(
            f"the two views' logits have shapes {tuple(first_logits.shape)} and {tuple(second_logits.shape)}; "
            "expected [R, K] twice"
        )
    logs = [torch.log_softmax(_lists(logits, listed)[0], dim=1) for logits in (first_logits, second_logits)]
    return ((logs[0].exp() - logs[1].exp()) * (logs[0] - logs[1])).sum(dim=1) / 2


def view_consistency_contrastive(
    first: Tensor,
    second: Tensor,
    *,
    temperature: float = 0.1,
    owners: Tensor | None = None,
    at_most: int = 512,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Whether a history's vector finds its other view among all others of the batch, a number for each row drawn.

    `-log softmax_j(cos(v_i, v_j) / T)` at the other view of `i`, over both views of all rows but `v_i` itself; the mean
    of the two directions.

    Source: CL4SRec (Xie et al., ICDE 2022), after SimCLR (Chen et al., ICML 2020).

    Args:
        first: the student's history vectors, `[R, D]`.
        second: of the same histories in another view, `[R, D]`.
        owners: whose history each row is, `[R]`: rows of one owner are not pushed apart.
        at_most: rows that are compared; the cost is its square.

    Needs nothing from a teacher; a teacher's vectors, projected, make a second view too. It fails quietly with small
    batches, where finding one is easy, and pushes apart histories that are rightly alike.
    """
    above_zero("temperature", temperature)
    if first.ndim != 2 or first.shape != second.shape:
        raise SettingsError(
            f"the two views have shapes {tuple(first.shape)} and {tuple(second.shape)}; expected [R, D] twice"
        )
    if owners is not None and owners.shape != first.shape[:1]:
        raise SettingsError(f"owners have shape {tuple(owners.shape)}; expected ({len(first)},), one a row")
    rows = sample_rows(len(first), at_most, generator, first.device)
    views = unit(wide(torch.cat([first[rows], second[rows]])))  # [2 n, D]
    other = torch.arange(len(views), device=views.device).roll(len(rows))  # [2 n]
    mine = (owners[rows] if owners is not None else rows).repeat(2)
    left_out = (mine[:, None] == mine).scatter_(1, other[:, None], False)
    logits = (views @ views.T / temperature).masked_fill(left_out, NEVER)
    return F.cross_entropy(logits, other, reduction="none").view(2, -1).mean(dim=0)


def _lists(logits: Tensor, listed: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits that give no share to what is not listed, and what is, [R, K]; one candidate alone is refused."""
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise SettingsError(f"logits have shape {tuple(logits.shape)}; expected [R, K] of at least two items a row")
    if listed is None:
        return wide(logits), torch.ones_like(logits, dtype=torch.bool)
    if listed.shape != logits.shape or listed.dtype != torch.bool:
        raise SettingsError(
            f"listed has shape {tuple(listed.shape)} of {listed.dtype}; expected {tuple(logits.shape)} of torch.bool"
        )
    return wide(logits).masked_fill(~listed, NEVER), listed
