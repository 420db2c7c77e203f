"""Losses over the whole catalogue, as pure functions: vectors in, a number out.

Every loss here takes history vectors `[P, D]` and an item table `[N, D]`, whose product would be the logits
`[P, N]`. That product is never held: it is made a few positions at a time, and because the gradients of a softmax
cross-entropy are known in closed form, they are made in the same pass while the logits are still in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from distilrec.errors import SettingsError
from distilrec.mixture.parts import SoftPart, check_parts
from distilrec.mixture.shares import DenseShares, Shares
from distilrec.mixture.teacher import Teacher

Trust = Callable[[Tensor, Tensor, Tensor, slice], Tensor]
"""How far to believe a teacher at some positions, 0 to 1, [c]; from its probabilities [c, N], the student's [c, N], the
items that came next [c], and where in the batch that is."""

_CHUNK_LOGITS = 1 << 20
_SMALLEST_PROBABILITY = 1e-30


@dataclass(frozen=True)
class CatalogueLoss:
    """The mean loss of a batch's positions, and its two parts before weighting."""

    total: Tensor  # a scalar; the only one that carries gradients
    hard: Tensor  # cross-entropy with the item that came next
    soft: Tensor  # cross-entropy with the teacher's probabilities, over the positions it speaks of; 0 without a teacher

    @classmethod
    def of_nothing(cls, history_vectors: Tensor, item_vectors: Tensor) -> CatalogueLoss:
        """Of no positions: 0, with gradients of 0."""
        zero = (history_vectors.sum() + item_vectors.sum()) * 0.0
        return cls(zero, zero.detach(), zero.detach())


def distillation_loss(
    history_vectors: Tensor,
    item_vectors: Tensor,
    targets: Tensor,
    *,
    soft_labels: SoftPart | Sequence[SoftPart] | None = None,
    alpha: float = 0.0,
    temperature: float = 1.0,
    label_smoothing: float = 0.0,
    trust: Trust | None = None,
    precision: torch.dtype = torch.float32,
) -> CatalogueLoss:
    """Hard labels and a teacher's soft labels together, at every position, over the whole catalogue.

    `(1 - alpha) * CE(target, p) + alpha * temperature**2 * CE(q_T, p_T)`, where `p` is the student's softmax, and
    `p_T`, `q_T` are the student's and the teacher's at the temperature.

    Source: Hinton et al. 2015; the factor `temperature**2` keeps the two gradients on one scale. Without soft labels
    it is the full-catalogue cross-entropy of Klenitskiy and Vasilev 2023 ("Turning dross into gold loss").

    Args:
        history_vectors: student, `[P, D]`, real positions only.
        item_vectors: student, `[N, D]`.
        targets: row number of the item that came next, `[P]`.
        soft_labels: needed when `alpha > 0`; what the teacher says of the same positions and the same catalogue.
            Several parts are a mixture: the mean of the probabilities of those that speak of a position, by their
            weights. A position that none speaks of learns from its hard label alone.
        label_smoothing: share of the hard label that is spread evenly over the catalogue.
        trust: multiplies `alpha` at each position; what the soft labels lose there, the hard label gets. It sees both
            sides at the temperature, and gets no gradient.
        precision: of the matrix products. In bfloat16 a single position's loss is off by up to about 1 %, with no
            bias, so that means over a batch agree to three digits; on a processor without bfloat16 it is slower.

    It fails quietly when the teacher's rows belong to other positions: the loss still falls, towards noise. The
    training loop looks rows up by the windows' own numbers for that reason.
    """
    check_inputs(history_vectors, item_vectors, targets, alpha, temperature, label_smoothing)
    parts = checked_parts(soft_labels, alpha, n_positions=len(targets), n_items=len(item_vectors))
    if len(targets) == 0:
        return CatalogueLoss.of_nothing(history_vectors, item_vectors)
    teacher = Teacher(parts, len(targets), len(item_vectors), temperature, precision) if parts and alpha > 0 else None
    total, hard, soft = _FusedCatalogueLoss.apply(  # type: ignore[no-untyped-call]
        history_vectors, item_vectors, targets, teacher, _Weights(alpha, temperature, label_smoothing, trust), precision
    )
    return CatalogueLoss(total, hard, soft)


def chunk_positions(n_items: int) -> int:
    """How many positions are worked on at once, so that a chunk's logits stay in the processor's cache."""
    return max(16, min(512, _CHUNK_LOGITS // max(n_items, 1)) // 16 * 16)


class _FusedCatalogueLoss(torch.autograd.Function):
    """The loss and, in the same pass, its gradients with respect to both tables.

    With `z` the logits and `p = softmax(z)`, the gradient of `CE(y, p)` by `z` is `p - y`; of
    `T**2 * CE(q_T, softmax(z / T))` it is `T * (softmax(z / T) - q_T)`. Both are linear in what follows, so a chunk's
    gradient by the logits is one matrix that is multiplied into both tables and forgotten.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  (autograd gives it no public type)
        history: Tensor,
        items: Tensor,
        targets: Tensor,
        teacher: Teacher | None,
        weights: _Weights,
        precision: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        count, chunk = len(targets), chunk_positions(len(items))
        student = history.detach().to(precision), items.detach().to(precision)
        gradient_history = torch.empty_like(history, dtype=torch.float32)  # [P, D]
        gradient_items = torch.zeros_like(items, dtype=torch.float32)  # [N, D]
        hard, soft = history.new_zeros((), dtype=torch.float32), history.new_zeros((), dtype=torch.float32)
        total = history.new_zeros((), dtype=torch.float32)
        item_sum = student[1].float().sum(dim=0)  # [D]
        tail = teacher.tail if teacher and weights.trust is None else None  # [N]
        tail_vector = torch.zeros_like(item_sum) if tail is None else tail @ student[1].float()  # [D]
        by_tail = torch.zeros_like(item_sum)
        buffer = torch.empty((2, min(chunk, count), len(items)), dtype=precision, device=items.device)
        for start in range(0, count, chunk):
            rows = slice(start, start + chunk)
            part = student[0][rows]  # [chunk, D]
            at = slice(start, start + len(part))
            shares = teacher.chunk(at.start, at.stop, dense=weights.trust is not None) if teacher else None
            place = _Chunk(part, student[1], item_sum, tail_vector, targets[rows], shares, at)
            found = _chunk_loss(place, weights, buffer[:, : len(part)])
            total, hard, soft = total + found.total, hard + found.hard.sum(), soft + found.soft.sum()
            gradient_history[rows] = found.by_logits @ student[1]
            _add_product(gradient_items, found.by_logits.T, part)
            if found.level is not None:
                gradient_history[rows] -= found.level[:, None] * tail_vector
                by_tail += found.level @ part.float()
        if tail is not None:
            gradient_items.addr_(tail, by_tail, alpha=-1)
        ctx.save_for_backward(gradient_history.div_(count), gradient_items.div_(count))
        total, hard, soft = total / count, hard / count, soft / max(teacher.n_covered if teacher else count, 1)
        ctx.mark_non_differentiable(hard, soft)
        return total, hard, soft

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        gradient_history, gradient_items = ctx.saved_tensors
        return (gradient_history * outer[0], gradient_items * outer[0], *[None] * 4)


@dataclass(frozen=True)
class _Weights:
    """What each part of the loss counts for."""

    alpha: float
    temperature: float
    smoothing: float
    trust: Trust | None

    def soft(self, chunk: _Chunk, student: Tensor) -> Tensor | float:
        """Of the soft labels: a number for each position, [c], or one for all."""
        if chunk.teacher is None:
            return 0.0
        covered = chunk.teacher.covered
        soft: Tensor | float = self.alpha if covered is None else self.alpha * covered
        if self.trust is None or not isinstance(chunk.teacher, DenseShares):
            return soft
        return soft * self.trust(chunk.teacher.shares, student, chunk.targets, chunk.at).float()


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Some positions of a batch."""

    history: Tensor  # [c, D]
    items: Tensor  # [N, D]
    item_sum: Tensor  # [D]
    tail_vector: Tensor  # [D], the mean of the items by the teacher's tail, or zeros
    targets: Tensor  # [c]
    teacher: Shares | None
    at: slice  # where in the batch

    def mean_logit(self, logits: Tensor) -> Tensor:
        """The student's mean logit under the teacher's probabilities, [c]."""
        if self.teacher is None:
            return self.history.new_zeros(len(self.history), dtype=torch.float32)
        return self.teacher.mean_logit(self.history, self.items, logits, self.tail_vector)


@dataclass(frozen=True, eq=False)
class _Found:
    total: Tensor  # the weighted sum, a scalar
    hard: Tensor  # [c]
    soft: Tensor  # [c]; 0 where the teacher is silent
    by_logits: Tensor  # the gradient of `total` by the logits, [c, N], but for
    level: Tensor | None  # how much of the teacher's tail is to be taken from a row's, [c]


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add `left @ right` to a float32 matrix: in one pass where the product is of float32 as well."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _column(weight: Tensor | float, like: Tensor) -> Tensor | float:
    """A weight that multiplies rows of `like`."""
    return weight[:, None].to(like.dtype) if isinstance(weight, Tensor) else weight


def _chunk_loss(chunk: _Chunk, weights: _Weights, buffer: Tensor) -> _Found:
    """The losses of some positions and their gradient; `buffer` [2, c, N] is written over."""
    history, items, teacher = chunk.history, chunk.items, chunk.teacher
    smoothing, temperature = weights.smoothing, weights.temperature
    logits = torch.mm(history, items.T, out=buffer[0])  # [c, N]
    probabilities = torch.softmax(logits, dim=1, out=buffer[1])  # [c, N]
    chosen = chunk.targets[:, None]
    target_logit = logits.gather(1, chosen)[:, 0].float()  # [c]
    log_sum = _log_sum(logits, probabilities, chosen)  # [c]
    label_logit = (1 - smoothing) * target_logit
    if smoothing:
        label_logit = label_logit + smoothing * (history.float() @ chunk.item_sum) / len(items)
    hard, soft = log_sum - label_logit, torch.zeros_like(log_sum)
    by_logits, level = probabilities, None
    soft_weight: Tensor | float = 0.0
    if teacher is not None:
        mean_logit = chunk.mean_logit(logits)
        if temperature == 1:
            soft_weight, soft = weights.soft(chunk, probabilities), log_sum - mean_logit
        else:
            softened = torch.softmax(logits.div_(temperature), dim=1)  # [c, N]
            soft_weight = weights.soft(chunk, softened)
            soft = _log_sum(logits, softened, chosen) - mean_logit / temperature
            by_logits = probabilities.mul_(_column(1.0 - soft_weight, probabilities))
            by_logits = by_logits.add_(softened.mul_(_column(soft_weight * temperature, softened)))
        by_logits = teacher.take_from(by_logits, soft_weight * temperature)
        level = None if teacher.level is None else soft_weight * temperature * teacher.level
        soft = soft if teacher.covered is None else soft * teacher.covered
    hard_weight = 1.0 - soft_weight
    if smoothing:
        by_logits.sub_(_column(hard_weight * (smoothing / len(items)), by_logits))
    spike = torch.full_like(chosen, -(1 - smoothing), dtype=by_logits.dtype) * _column(hard_weight, by_logits)
    total = (hard_weight * hard + soft_weight * temperature**2 * soft).sum()
    return _Found(total, hard, soft, by_logits.scatter_add_(1, chosen, spike), level)


def _log_sum(logits: Tensor, probabilities: Tensor, chosen: Tensor) -> Tensor:
    """log(sum(exp(logits))), [c]: read off one item's probability, or worked out where that is too small to tell."""
    probability = probabilities.gather(1, chosen)[:, 0].float()
    log_sum = logits.gather(1, chosen)[:, 0].float() - probability.log()
    too_small = probability < _SMALLEST_PROBABILITY
    if too_small.any():
        log_sum[too_small] = torch.logsumexp(logits[too_small].float(), dim=1)
    return log_sum


def check_inputs(
    history: Tensor,
    items: Tensor,
    targets: Tensor,
    alpha: float,
    temperature: float,
    smoothing: float,
) -> None:
    """Refuse tables that do not fit together, and settings that make no sense."""
    if history.ndim != 2 or items.ndim != 2 or history.shape[1] != items.shape[1]:
        raise SettingsError(
            f"history vectors have shape {tuple(history.shape)} and item vectors {tuple(items.shape)}; "
            "expected [P, D] and [N, D] with the same D"
        )
    if targets.shape != history.shape[:1]:
        raise SettingsError(f"targets have shape {tuple(targets.shape)}; expected ({len(history)},), one a position")
    if not 0 <= alpha <= 1:
        raise SettingsError(f"alpha is {alpha}; expected 0 (hard labels only) to 1 (soft labels only)")
    if not temperature > 0:  # NaN is refused too
        raise SettingsError(f"temperature is {temperature}; expected a number above 0")
    if not 0 <= smoothing < 1:
        raise SettingsError(f"label_smoothing is {smoothing}; expected 0 up to, not including, 1")


def checked_parts(
    soft_labels: SoftPart | Sequence[SoftPart] | None, alpha: float, *, n_positions: int, n_items: int
) -> list[SoftPart]:
    """The parts of a mixture; refused where they are of other positions or items, or missing although `alpha > 0`."""
    parts = [soft_labels] if isinstance(soft_labels, SoftPart) else list(soft_labels or ())
    if alpha > 0 and not parts:
        raise SettingsError(f"alpha is {alpha}, but no teacher's soft labels were given; give them or set alpha to 0")
    check_parts(parts, n_positions=n_positions, n_items=n_items)
    return parts
