"""A cross-fitted teacher: each window is spoken of by the teacher that did not train on its user."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distilrec.errors import KnowledgeError
from distilrec.files import sha256_of_arrays, sha256_of_value
from distilrec.knowledge import FactorLabels, KnowledgeSource, Labels
from distilrec.knowledge.layout import row_counts
from distilrec.models.taps import Tap
from distilrec.types import Batch, FloatArray, IntArray, ranges


@dataclass(frozen=True, eq=False)
class _Share:
    """The windows of a batch that one fold's teacher is asked about."""

    fold: int
    chosen: IntArray  # rows of the whole batch
    batch: Batch


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
        self._last: tuple[Batch, list[_Share]] | None = None

    def digest(self) -> str:
        """Digest of all teachers and of which speaks of what."""
        return sha256_of_value([[t.digest() for t in self.teachers], sha256_of_arrays({"folds": self.folds})])

    def check_belongs(self, *, windows_digest: str, n_items: int) -> None:
        """Refuse another catalogue."""
        for teacher in self.teachers:
            teacher.check_belongs(windows_digest=windows_digest, n_items=n_items)

    def item_vectors(self) -> FloatArray | None:
        """The first fold's."""
        return self.teachers[0].item_vectors()

    def user_vectors(self) -> None:
        """It has none: the folds' teachers do not agree on what the numbers mean."""

    def lists(self, batch: Batch) -> None:
        """It has none: they are cut from the soft labels."""

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """The parts of those folds that the batch has windows of, fold after fold, with the positions they speak of."""
        found: list[Labels] = []
        for share in self._shares(batch):
            rows = _rows(share, "position", batch.lengths)
            found += [replace(labels, rows=rows) for labels in self.teachers[share.fold].soft_labels(share.batch)]
        return found

    def form(self) -> list[list[Labels]]:
        """What each fold's teacher says of one item, so that one sees of what form it is.

        Raises:
            KnowledgeError: they differ in form.
        """
        found = [teacher.soft_labels(_one_item()) for teacher in self.teachers]
        shapes = [[_shape(part) for part in parts] for parts in found]
        other = next((fold for fold, shape in enumerate(shapes) if shape != shapes[0]), None)
        if other is not None:
            raise KnowledgeError(
                f"the teachers of folds 0 and {other} differ in form: {shapes[0]} and {shapes[other]}; a cross-fitted "
                "teacher is the same one, trained several times"
            )
        return found

    @property
    def columns(self) -> Collection[str]:
        """Those that the folds' teachers have."""
        return self.teachers[0].columns

    def column_width(self, name: str) -> int:
        """How wide a column is, the same for all folds."""
        widths = [teacher.column_width(name) for teacher in self.teachers]
        if len(set(widths)) > 1:
            raise KnowledgeError(f"{name} has widths {', '.join(map(str, widths))} in the folds; expected one width")
        return widths[0]

    def column(self, name: str, batch: Batch) -> np.ndarray[Any, Any]:
        """Each window's rows from its fold's teacher, in the batch's order."""
        per = Tap.parse(name).per if "." in name else "position"
        counts = row_counts(per, batch.lengths)
        whole: np.ndarray[Any, Any] | None = None
        for share in self._shares(batch):
            rows = self.teachers[share.fold].column(name, share.batch)
            if whole is None:
                whole = np.empty((int(counts.sum()), *rows.shape[1:]), dtype=rows.dtype)
            whole[_rows(share, per, batch.lengths)] = rows
        return whole if whole is not None else np.empty((0, self.column_width(name)), dtype=np.float32)

    def _shares(self, batch: Batch) -> list[_Share]:
        """Kept until another batch comes, so that a teacher that is asked twice about one can remember it."""
        if self._last is None or self._last[0] is not batch:
            self._last = batch, list(self._divided(batch))
        return self._last[1]

    def _divided(self, batch: Batch) -> Iterator[_Share]:
        if batch.rows is None:
            raise KnowledgeError("the batch does not say which training windows it holds; take it from Windows.batch")
        of_windows = self.folds[batch.rows]  # [B]
        for fold in np.unique(of_windows):
            chosen = np.flatnonzero(of_windows == fold)
            part = Batch(batch.items[chosen], batch.lengths[chosen], rows=batch.rows[chosen])
            yield _Share(int(fold), chosen, part)


def _rows(share: _Share, per: str, lengths: IntArray) -> IntArray:
    """Where a share's rows are among the whole batch's, ascending."""
    counts = row_counts(per, lengths)
    begins = np.cumsum(counts) - counts
    return ranges(begins[share.chosen], counts[share.chosen])


def _one_item() -> Batch:
    return Batch(np.zeros((1, 1), dtype=np.int64), np.ones(1, dtype=np.int64), rows=np.zeros(1, dtype=np.int64))


def _shape(labels: Labels) -> tuple[str, int]:
    """Which form labels have, and how wide they are."""
    width = labels.history_vectors.shape[1] if isinstance(labels, FactorLabels) else labels.logits.shape[1]
    return type(labels).__name__, width
