"""The parity certificate: how far an exported model's scores and lists are from those of the model it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distilrec.errors import ArtifactError, DataError
from distilrec.types import Batch, FloatArray, IntArray, Scorer

_AT_ONCE = 64


@dataclass(frozen=True)
class Parity:
    """Two scorers on the same histories."""

    name: str
    """What was compared."""
    histories: int
    largest_difference: float
    """Of any score of an item outside the history, as a share of the spread of those scores."""
    overlap: float
    """Mean share of the reference's k best items that are among the other's k best."""
    same_first: float
    """Share of histories whose best item is the same."""
    k: int

    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.name}: scores at most {self.largest_difference:.2g} of their spread apart, "
            f"{100 * self.overlap:.2f} % of the {self.k} best items the same, the best one in "
            f"{100 * self.same_first:.2f} % of {self.histories:,} histories"
        )


def parity(
    name: str, reference: Scorer, other: Scorer, histories: Sequence[IntArray], *, k: int = 10, at_once: int = _AT_ONCE
) -> Parity:
    """Compare two scorers, some histories at a time; items of a history are left out of its list."""
    if not histories or any(len(history) == 0 for history in histories):
        raise DataError("parity is looked at on histories with at least one item each, and on at least one of them")
    k = min(k, reference.n_items)
    off, shared, same = [0.0], [], []
    for start in range(0, len(histories), at_once):
        some = histories[start : start + at_once]
        batch = Batch.of(some)
        ours, theirs = reference.scores(batch), other.scores(batch)  # [B, N]
        for history, a, b in zip(some, ours, theirs, strict=True):
            left = np.delete(a, history), np.delete(b, history)
            spread = max(float(np.ptp(left[0])), float(np.finfo(np.float32).tiny))
            off.append(float(np.abs(left[0] - left[1]).max()) / spread)
            best, found = _best(a, history, k), _best(b, history, k)
            shared.append(len(np.intersect1d(best, found)) / len(best))
            same.append(best[0] == found[0])
    return Parity(name, len(histories), max(off), float(np.mean(shared)), float(np.mean(same)), k)


def check_parity(found: Parity, *, tolerance: float) -> None:
    """Refuse an exported model whose scores are not those of the model.

    Raises:
        ArtifactError: the largest difference is above the tolerance.
    """
    if not found.largest_difference <= tolerance:
        raise ArtifactError(
            f"the exported model does not say what the model says: {found.sentence()}; at most {tolerance:g} was "
            "expected. Nothing was written"
        )


def check_overlap(found: Parity, *, least: float) -> None:
    """Refuse rounded numbers that change too many of the best items.

    Raises:
        ArtifactError: the overlap is below the least.
    """
    if not found.overlap >= least:
        raise ArtifactError(
            f"the encoder loses too much in int8: {found.sentence()}; at least {100 * least:g} % of the best items was "
            "expected to stay. Nothing was written; export it in float32, or set a lower least_overlap"
        )


def _best(scores: FloatArray, history: IntArray, k: int) -> IntArray:
    left = scores.copy()
    left[history] = -np.inf
    best: IntArray = np.argsort(-left, kind="stable")[: min(k, int(np.isfinite(left).sum()))]
    return best
