"""A cross-fitted teacher: each window is spoken of by the teacher that did not train on its user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from distilrec.errors import KnowledgeError
from distilrec.files import sha256_of_arrays, sha256_of_value
from distilrec.knowledge import FactorLabels, KnowledgeSource, Labels
from distilrec.types import Batch, FloatArray, IntArray


class FoldedTeacher:
    """One teacher a fold. All have the same form: the same number of parts, factors of the same width."""

    def __init__(self, teachers: Sequence[KnowledgeSource], folds: IntArray) -> None:
        """Put the folds' teachers together.

        Args:
            teachers: teacher i has not seen the users of fold i.
            folds: the fold of each training window, [windows].
        """
        highest = int(folds.max(initial=-1))
        if highest >= len(teachers) or folds.min(initial=0) < 0:
            raise KnowledgeError(f"windows are in folds up to {highest}; there are {len(teachers)} teachers")
        self.teachers, self.folds = list(teachers), folds

    def digest(self) -> str:
        """Digest of all teachers and of which speaks of what."""
        return sha256_of_value([[t.digest() for t in self.teachers], sha256_of_arrays({"folds": self.folds})])

    def item_vectors(self) -> FloatArray | None:
        """The first fold's."""
        return self.teachers[0].item_vectors()

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """Every fold's parts, fold after fold, each with the positions that it speaks of (there may be none)."""
        if batch.rows is None:
            raise KnowledgeError("the batch does not say which training windows it holds; take it from Windows.batch")
        of_positions = np.repeat(self.folds[batch.rows], batch.lengths)  # [P]
        found: list[Labels] = []
        for fold, teacher in enumerate(self.teachers):
            chosen = self.folds[batch.rows] == fold  # [B]
            part = Batch(batch.items[chosen], batch.lengths[chosen], rows=batch.rows[chosen])
            rows = np.flatnonzero(of_positions == fold)
            said = teacher.soft_labels(part if len(part) else _one_item())
            found += [replace(labels, rows=rows) if len(part) else _emptied(labels) for labels in said]
        return found


def _one_item() -> Batch:
    """Something to ask a teacher that has nothing to say here, so that it tells its form."""
    return Batch(np.zeros((1, 1), dtype=np.int64), np.ones(1, dtype=np.int64), rows=np.zeros(1, dtype=np.int64))


def _emptied(labels: Labels) -> Labels:
    rows = np.zeros(0, dtype=np.int64)
    if isinstance(labels, FactorLabels):
        return replace(labels, history_vectors=labels.history_vectors[:0], rows=rows)
    raise KnowledgeError("a cross-fitted teacher must have history and item vectors; this one gives other scores")
