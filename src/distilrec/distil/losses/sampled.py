"""The loss of `catalogue.py` for catalogues that are too large for it: some items stand for all the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from distilrec.distil.losses.catalogue import CatalogueLoss, Trust, check_inputs, checked_parts
from distilrec.distil.losses.lists import find_columns, gather_logits
from distilrec.errors import SettingsError
from distilrec.mixture.parts import SoftLabels, SoftLists, SoftLogits, SoftPart
from distilrec.mixture.shares import Tail, listed_shares


@dataclass(frozen=True, eq=False)
class Candidates:
    """The items that a batch's positions are compared with. All others are the tail of a position."""

    listed: Tensor  # [P, K], each position's own, -1 where unused; a repeat counts once, and the target always counts
    random: Tensor  # [M], shared by all positions; drawn evenly from the catalogue, whatever is listed


def sampled_distillation_loss(
    history_vectors: Tensor,
    item_vectors: Tensor,
    targets: Tensor,
    *,
    candidates: Candidates,
    soft_labels: SoftPart | Sequence[SoftPart] | None = None,
    alpha: float = 0.0,
    temperature: float = 1.0,
    label_smoothing: float = 0.0,
    trust: Trust | None = None,
    precision: torch.dtype = torch.float32,
) -> CatalogueLoss:
    """`distillation_loss` from a few thousand items a position: listed ones exactly, the tail estimated.

    Where a sum over the catalogue has `exp(z_i)` of every item, here it has that of the target and the listed items,
    and of each random item that the position does not list, times the number of tail items that it stands for: the
    size of the tail over the number of such random items. The largest tensors are `[P, K + M]`, and the gradient
    reaches the rows of the candidates alone.

    Source: the denominator is the importance sampling of Bengio and Senecal 2008 and Jean et al. 2015, with an even
    draw and its likely part summed exactly. A teacher cut to its best items and made to sum to 1 pulls a student
    aside (Anshumann et al. 2025, "Sparse Logit Sampling", who sample from the teacher instead); here its tail keeps
    its share, as one bucket. Its neighbour gSASRec (Petrov and Macdonald 2023) corrects a binary loss for the sampling;
    this is the softmax itself. With every item listed, or every item among the random ones, it equals
    `distillation_loss`.

    Args:
        history_vectors: student, `[P, D]`, real positions only.
        item_vectors: student, `[N, D]`.
        targets: row number of the item that came next, `[P]`.
        candidates: `distil.candidates.choose_candidates` makes them. What is likely belongs into the lists.
        soft_labels: as in `distillation_loss`. The tail's share is spread over the random items as the teacher's own
            logits have it, where it is given as factors or dense logits; as the tail of its lists has it, where it is
            given as those. Of factors, the sum over the catalogue is estimated like the student's.
        label_smoothing: the mean logit of the catalogue is estimated too.
        trust: sees candidates in place of the catalogue, each random one with all that it stands for, and 0 as the
            target, which is the first candidate.
        precision: of the products with the random items.

    The sum is estimated without bias; its logarithm and the gradients are a little off. With a tail that holds the
    share w of the sum, and s for the standard deviation of `exp(z)` in the tail over its mean, the loss is low by
    about `(w * s)**2 / (2 * M)`. So it fails quietly where likely items are neither listed nor drawn, which makes s
    large: the loss looks fine, and little pushes them down. What a teacher's list has beyond `listed` is lost quietly
    too: it becomes part of the tail.
    """
    check_inputs(history_vectors, item_vectors, targets, alpha, temperature, label_smoothing)
    parts = checked_parts(soft_labels, alpha, n_positions=len(targets), n_items=len(item_vectors))
    _check_candidates(candidates, len(targets), len(item_vectors))
    if len(targets) == 0:
        return CatalogueLoss.of_nothing(history_vectors, item_vectors)
    drawn = _Drawn.of(targets, candidates, len(item_vectors))
    logits = drawn.logits(history_vectors, item_vectors, precision)  # [P, C + M]
    hard = _hard(logits, drawn, label_smoothing)  # [P]
    if alpha == 0:
        return CatalogueLoss(hard.mean(), hard.detach().mean(), hard.new_zeros(()))
    shares, covered = _teacher_shares(parts, drawn, temperature, precision)  # [P, C + M], [P]
    soft = torch.logsumexp(logits / temperature + drawn.log_counts, dim=1)
    soft = soft - (shares * logits).sum(dim=1) / temperature  # [P]
    weight = alpha * covered  # [P]
    if trust is not None:
        student = torch.softmax(logits.detach() / temperature + drawn.log_counts, dim=1)
        weight = weight * trust(shares, student, torch.zeros_like(targets), slice(0, len(targets))).float()
    total = ((1 - weight) * hard + weight * temperature**2 * soft).mean()
    heard = (soft.detach() * covered).sum() / covered.sum().clamp(min=1)
    return CatalogueLoss(total, hard.detach().mean(), heard)


def _hard(logits: Tensor, drawn: _Drawn, smoothing: float) -> Tensor:
    """Cross-entropy with the target, which is the first candidate, [P]."""
    log_sum = torch.logsumexp(logits + drawn.log_counts, dim=1)  # [P]
    if not smoothing:
        return log_sum - logits[:, 0]
    mean_logit = (logits * drawn.log_counts.exp()).sum(dim=1) / drawn.n_items
    return log_sum - (1 - smoothing) * logits[:, 0] - smoothing * mean_logit


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Candidates in order: no item counts twice at a position, and it is known how many each stands for."""

    listed: Tensor  # [P, C], the target first; -1 where unused
    random: Tensor  # [M], ascending
    log_counts: Tensor  # [P, C + M], log of how many items each stands for: 0 if listed, -inf if it does not count
    items: Tensor  # [U], every item that is a candidate anywhere
    listed_at: Tensor  # [P, C], where in `items`; -1 where unused
    random_at: Tensor  # [M]
    n_items: int  # N

    @classmethod
    def of(cls, targets: Tensor, candidates: Candidates, n_items: int) -> _Drawn:
        listed = _each_once(torch.cat([targets[:, None], candidates.listed], dim=1))  # [P, C]
        random = torch.unique(candidates.random)  # [M], ascending
        log_counts = _log_counts(listed, random, n_items)
        items, at = torch.unique(torch.cat([listed.clamp(min=0).flatten(), random]), return_inverse=True)
        listed_at = torch.where(listed >= 0, at[: listed.numel()].view(listed.shape), -1)
        return cls(listed, random, log_counts, items, listed_at, at[listed.numel() :], n_items)

    def logits(
        self, history: Tensor, item_vectors: Tensor, precision: torch.dtype, rows: Tensor | None = None
    ) -> Tensor:
        """Of some or all positions with their candidates, [R, C + M]; the table is read through one index."""
        table = F.embedding(self.items, item_vectors)  # [U, D]
        listed = gather_logits(history, table, self.listed_at if rows is None else self.listed_at[rows])  # [R, C]
        random = history.to(precision) @ F.embedding(self.random_at, table).to(precision).T  # [R, M]
        return torch.cat([listed, random.to(listed.dtype)], dim=1)


def _each_once(listed: Tensor) -> Tensor:
    """Rows with -1 in place of what stood further left already."""
    ascending, order = listed.sort(dim=1, stable=True)
    repeated = torch.zeros_like(listed, dtype=torch.bool)
    repeated[:, 1:] = ascending[:, 1:] == ascending[:, :-1]
    return torch.where(torch.zeros_like(repeated).scatter_(1, order, repeated), -1, listed)


def _log_counts(listed: Tensor, random: Tensor, n_items: int) -> Tensor:
    """How many items each candidate stands for, as logarithms, [P, C + M]."""
    used = listed >= 0  # [P, C]
    counts_random = torch.ones(len(listed), len(random) + 1, dtype=torch.bool, device=listed.device)
    at = torch.searchsorted(random, listed)  # [P, C]
    is_random = used & (F.pad(random, (0, 1), value=-1)[at] == listed)
    counts_random.scatter_(1, torch.where(is_random, at, len(random)), torch.zeros_like(used))
    counts_random = counts_random[:, :-1]  # [P, M]
    in_tail = n_items - used.sum(dim=1)  # [P]
    if not len(random) and int(in_tail.max()):
        raise SettingsError(
            f"position {int(in_tail.argmax())} lists {n_items - int(in_tail.max())} of {n_items} items, and there are "
            "no random ones to stand for the others; draw some"
        )
    each = (in_tail / counts_random.sum(dim=1)).log()[:, None]  # [P, 1]
    minus_infinity = torch.tensor(-math.inf, device=listed.device)
    return torch.cat([torch.where(used, 0.0, minus_infinity), torch.where(counts_random, each, minus_infinity)], dim=1)


@torch.no_grad()
def _teacher_shares(
    parts: Sequence[SoftPart], drawn: _Drawn, temperature: float, precision: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The mixture's probabilities of the candidates, [P, C + M], and 1 where anything is known, [P]."""
    total = torch.zeros_like(drawn.log_counts)
    for part in parts:
        rows = torch.arange(len(total), device=total.device) if part.rows is None else part.rows
        total.index_add_(0, rows, _part_shares(part, drawn, rows, temperature, precision) * part.weight)
    mass = total.sum(dim=1, keepdim=True)
    covered = mass > 0
    return total.div_(torch.where(covered, mass, 1)), covered[:, 0].float()


def _part_shares(
    part: SoftPart, drawn: _Drawn, rows: Tensor, temperature: float, precision: torch.dtype
) -> Tensor:  # [R, C + M]
    log_counts, n_listed = drawn.log_counts[rows], drawn.listed.shape[1]
    if isinstance(part, SoftLabels):
        history = part.history_vectors.float() / (part.temperature * temperature)
        return torch.softmax(drawn.logits(history, part.item_vectors, precision, rows) + log_counts, dim=1)
    listed = drawn.listed[rows]
    if isinstance(part, SoftLogits):
        logits = part.logits.float() / (part.temperature * temperature)  # [R, N]
        own = logits.gather(1, listed.clamp(min=0)) - torch.logsumexp(logits, dim=1, keepdim=True)
        return _with_tail((own + log_counts[:, :n_listed]).exp(), logits[:, drawn.random] + log_counts[:, n_listed:])
    tail = Tail.of(part, drawn.n_items, temperature)
    speaks = (part.items >= 0).any(dim=1, keepdim=True)
    spread = log_counts[:, n_listed:] + tail.warm.values[drawn.random].log()
    return _with_tail(_list_shares(part, listed, tail), spread) * speaks


def _list_shares(lists: SoftLists, wanted: Tensor, tail: Tail) -> Tensor:
    """What `mixture.shares.spread_lists` gives some items, [R, C]; 0 for -1."""
    known = listed_shares(lists, tail)
    at = find_columns(wanted, lists.items)  # [R, C]
    in_tail = known.level[:, None] * known.tail[wanted.clamp(min=0)]
    shares = in_tail + torch.where(at >= 0, known.excess.gather(1, at.clamp(min=0)), 0.0)
    return torch.where(wanted >= 0, shares, 0.0)


def _with_tail(own: Tensor, spread: Tensor) -> Tensor:
    """Shares of the listed candidates and, in the proportions of `exp(spread)`, of the random ones: [R, C + M]."""
    tail = (1 - own.sum(dim=1, keepdim=True)).clamp_(min=0)
    each = torch.softmax(spread, dim=1).nan_to_num_(0.0)  # where all random items are listed there is no tail
    return torch.cat([own, tail * each], dim=1)


def _check_candidates(candidates: Candidates, n_positions: int, n_items: int) -> None:
    listed, random = candidates.listed, candidates.random
    if listed.ndim != 2 or len(listed) != n_positions or random.ndim != 1:
        raise SettingsError(
            f"candidates have shapes {tuple(listed.shape)} and {tuple(random.shape)}; expected ({n_positions}, K) "
            "listed items, a row a position, and (M,) random ones"
        )
    for name, items, least in (("listed", listed, -1), ("random", random, 0)):
        if items.numel() and not least <= int(items.min()) <= int(items.max()) < n_items:
            raise SettingsError(
                f"{name} candidates are items {int(items.min())} to {int(items.max())}; expected {least} to "
                f"{n_items - 1}"
            )
