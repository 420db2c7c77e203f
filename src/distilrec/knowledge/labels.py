"""What a teacher says about positions of a batch: scores of the catalogue, in the cheapest form that loses nothing.

A list of labels is a mixture: at each position, the probabilities of the parts that speak of it are averaged by their
weights. So one teacher, an ensemble, a teacher for each fold and a partial outside ranking are all the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import KnowledgeError
from distilrec.types import FloatArray, IntArray

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FactorLabels:
    """Logits of the whole catalogue as the two factors whose product they are: D numbers a position instead of N."""

    history_vectors: FloatArray  # [R, D_teacher]
    item_vectors: FloatArray  # [N, D_teacher], the same array every time, so that it can be kept on the device
    rows: IntArray | None = None  # [R], ascending: which of the batch's P real positions; none means all of them
    weight: float = 1.0  # share in the mixture, relative to the other parts
    temperature: float = 1.0  # the teacher's own, that makes its probabilities honest; the logits are divided by it


@dataclass(frozen=True, eq=False)
class ListLabels:
    """The best items of each position and the log-sum-exp of all logits, so that the mass of the tail is known."""

    items: IntArray  # [R, K], -1 after the end of a list
    logits: FloatArray  # [R, K]
    log_sums: FloatArray  # [R], log of the sum of exp over all N logits
    rows: IntArray | None = None
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class DenseLabels:
    """Logits of the whole catalogue, for a teacher whose scores are no product; too large for a disk."""

    logits: FloatArray  # [R, N]
    rows: IntArray | None = None
    weight: float = 1.0
    temperature: float = 1.0


Labels = FactorLabels | ListLabels | DenseLabels


def n_rows(labels: Labels) -> int:
    """How many positions the labels speak of, R."""
    return len(labels.history_vectors if isinstance(labels, FactorLabels) else labels.logits)


def to_lists(parts: list[Labels], *, k: int, n_positions: int, n_items: int) -> ListLabels:
    """The k best items of a mixture at each position, best first, as log-probabilities (so `log_sums` are 0).

    A position that no part speaks of gets an empty list. Parts that are lists themselves spread their tail evenly.
    """
    if not 1 <= k <= n_items:
        raise KnowledgeError(f"top_k is {k}; expected 1 to {n_items}, the size of the catalogue")
    shares, covered = probabilities(parts, n_positions=n_positions, n_items=n_items)
    best = np.argpartition(shares, n_items - k, axis=1)[:, n_items - k :]  # [P, K], in no order
    values = np.take_along_axis(shares, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    items, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
    tiniest = np.finfo(np.float32).tiny
    logits = np.log(np.maximum(values, tiniest)).astype(np.float32)
    items[~covered], logits[~covered] = -1, 0.0
    return ListLabels(items.astype(np.int64), logits, np.zeros(n_positions, dtype=np.float32))


def probabilities(
    parts: list[Labels], *, n_positions: int, n_items: int, temperature: float = 1.0
) -> tuple[FloatArray, BoolArray]:
    """The mixture, [P, N], zeros where nothing is known, and where something is, [P]. Held whole: give it chunks."""
    total = np.zeros((n_positions, n_items), dtype=np.float32)
    weights = np.zeros(n_positions, dtype=np.float32)
    for part in parts:
        rows = np.arange(n_positions) if part.rows is None else part.rows
        shares, known = _part(part, n_items, temperature)
        total[rows[known]] += part.weight * shares[known]
        weights[rows[known]] += part.weight
    covered = weights > 0
    total[covered] /= weights[covered, None]
    return total, covered


def _part(part: Labels, n_items: int, temperature: float) -> tuple[FloatArray, BoolArray]:
    """One part's probabilities [R, N], and which of its rows say anything [R]."""
    if isinstance(part, ListLabels):
        return _from_lists(part, n_items, temperature)
    logits = part.history_vectors @ part.item_vectors.T if isinstance(part, FactorLabels) else part.logits
    scaled = logits.astype(np.float32) / (part.temperature * temperature)
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True), np.ones(len(logits), dtype=np.bool_)


def _from_lists(part: ListLabels, n_items: int, temperature: float) -> tuple[FloatArray, BoolArray]:
    """Lists, their tail's mass spread evenly over all other items: exact for the lists at temperature 1, and for
    everything at any temperature where the tail is flat."""
    listed = part.items >= 0  # [R, K]
    tail_items = n_items - listed.sum(axis=1)  # [R]
    own = np.where(listed, part.logits.astype(np.float64) - part.log_sums[:, None], -np.inf)
    tail = np.maximum(1 - np.exp(own).sum(axis=1), 0)  # the mass of the tail
    with np.errstate(divide="ignore"):
        tail_logit = np.where(tail_items > 0, np.log(tail / np.maximum(tail_items, 1)), -np.inf)  # [R]
    own, each = np.exp(own / temperature), np.exp(tail_logit / temperature)
    total = own.sum(axis=1) + each * tail_items
    shares = np.repeat((each / np.where(total > 0, total, 1))[:, None], n_items, axis=1)
    rows, columns = np.nonzero(listed)
    shares[rows, part.items[rows, columns]] = own[rows, columns] / total[rows]
    return shares.astype(np.float32), np.asarray(listed.any(axis=1))
