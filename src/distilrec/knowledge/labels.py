"""What a teacher says about positions of a batch: scores of the catalogue, in the cheapest form that loses nothing.

A list of labels is a mixture: at each position, the probabilities of the parts that speak of it are averaged by their
weights. So one teacher, an ensemble, a teacher for each fold and a partial outside ranking are all the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilrec.types import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

_LEAST = 1e-9  # of an item in a tail beside the likeliest


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
    tail: FloatArray | None = None  # [N], in which proportions unlisted items share the rest, the same array every time


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
    """Lists, their tail's mass spread over all other items in its proportions: exact for the lists at temperature 1,
    and for everything at any temperature where the tail has these proportions."""
    listed = part.items >= 0  # [R, K]
    own = np.where(listed, part.logits.astype(np.float64) - part.log_sums[:, None], -np.inf)
    even = np.ones(n_items) if part.tail is None else np.maximum(part.tail.astype(np.float64), _LEAST * part.tail.max())
    tail = np.repeat(even[None], len(part.items), axis=0)  # [R, N]
    rows, columns = np.nonzero(listed)
    tail[rows, part.items[rows, columns]] = 0
    left = tail.sum(axis=1, keepdims=True)
    mass = np.maximum(1 - np.exp(own).sum(axis=1, keepdims=True), 0)  # of what is not listed
    shares = (tail / np.where(left > 0, left, 1) * mass) ** (1 / temperature)
    shares[rows, part.items[rows, columns]] = np.exp(own / temperature)[rows, columns]
    total = shares.sum(axis=1, keepdims=True)
    speaks = np.asarray(listed.any(axis=1))
    return (shares / np.where(total > 0, total, 1) * speaks[:, None]).astype(np.float32), speaks
