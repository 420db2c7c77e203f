"""The plain things that the stages hand to one another.

Letters for shapes, everywhere in the package:
    B  histories in a batch          L  positions of a history (padded on the right)
    P  real positions of a batch, flattened (no padding)
    N  items of the catalogue        D  width of a model
    F  width of an outside feature   K  length of a ranked list
    C  cases of an evaluation        E  events
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


def ranges(begins: IntArray, counts: IntArray) -> IntArray:
    """begin, begin + 1, ... for each count, end to end: `ranges([5, 0], [2, 3])` is 5, 6, 0, 1, 2."""
    before = np.cumsum(counts) - counts
    joined: IntArray = np.arange(counts.sum()) + np.repeat(begins - before, counts)
    return joined


@dataclass(frozen=True)
class Ragged:
    """Many integer arrays of different lengths, end to end: row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: IntArray  # [E]
    offsets: IntArray  # [rows + 1], starts at 0, never falls

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | IntArray]) -> Ragged:
        """Join rows. `Ragged.of([[1, 2], [], [3]])` has three rows."""
        lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        parts = [np.asarray(row, dtype=np.int64) for row in rows if len(row)]
        return cls(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> IntArray:
        row = range(len(self))[row]  # -1 is the last row, and a row too far is an IndexError
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def __iter__(self) -> Iterator[IntArray]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> IntArray:
        """How many values each row has, [rows]."""
        return np.diff(self.offsets)

    def take(self, rows: IntArray) -> Ragged:
        """The chosen rows, in the order given."""
        counts = self.lengths[rows]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        return Ragged(self.values[ranges(self.offsets[:-1][rows], counts)], offsets)

    def between(self, first: int, end: int) -> Ragged:
        """The rows from `first` up to, without it, `end`; of the same values, not copied."""
        offsets = self.offsets[first : end + 1]
        return Ragged(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])


@dataclass(frozen=True)
class Batch:
    """What a model sees: histories as row numbers of the catalogue, oldest first, padded on the right.

    Right padding and causal attention need no padding mask: no real position ever looks at a padded one.
    """

    items: IntArray  # [B, L], 0 where padded
    lengths: IntArray  # [B], how many positions are real
    targets: IntArray | None = None  # [B, L], the item that came next; -1 where padded
    rows: IntArray | None = None  # [B], which training windows, or cases of an evaluation, these are

    @classmethod
    def of(cls, histories: Sequence[Sequence[int] | IntArray], *, max_length: int | None = None) -> Batch:
        """Pad histories to the longest one, keeping at most the newest `max_length` items of each."""
        return cls.of_rows(Ragged.of(histories), max_length=max_length)

    @classmethod
    def of_rows(cls, histories: Ragged, *, max_length: int | None = None) -> Batch:
        """The same of histories that are joined already."""
        lengths = np.minimum(histories.lengths, max_length) if max_length else histories.lengths
        items = np.zeros((len(lengths), max(1, int(lengths.max(initial=0)))), dtype=np.int64)
        columns = np.arange(items.shape[1])
        items[columns < lengths[:, None]] = histories.values[ranges(histories.offsets[1:] - lengths, lengths)]
        return cls(items, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def newest(self, max_length: int) -> Batch:
        """The same histories, at most the newest `max_length` items of each; without targets."""
        if self.items.shape[1] <= max_length:
            return self
        lengths = np.minimum(self.lengths, max_length)
        columns = np.arange(max(1, int(lengths.max(initial=0))))
        at = np.minimum((self.lengths - lengths)[:, None] + columns, self.items.shape[1] - 1)  # [B, L]
        items = np.where(columns < lengths[:, None], np.take_along_axis(self.items, at, axis=1), 0)
        return Batch(items, lengths, rows=self.rows)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True at real positions, [B, L]."""
        return np.arange(self.items.shape[1]) < self.lengths[:, None]


@dataclass(frozen=True)
class Cases:
    """What an evaluation asks: for each case a user, a history, and the items that the user then chose."""

    users: IntArray  # [C], rows of the user table
    histories: Ragged  # C rows of item row numbers, oldest first, whole (models cut them to what they read)
    relevant: Ragged  # C rows of item row numbers, at least one each

    def __len__(self) -> int:
        return len(self.users)


@runtime_checkable
class Scorer(Protocol):
    """All that an evaluation knows of a model: a score for every item of the catalogue."""

    @property
    def n_items(self) -> int:
        """How many items the catalogue has, N."""
        ...

    def scores(self, batch: Batch) -> FloatArray:
        """Higher is better, [B, N] float32, for the item that comes after each history."""
        ...
