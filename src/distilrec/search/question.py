"""What is asked of an index, checked once, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from distilrec.errors import SettingsError
from distilrec.search.finite import WILD, first_wild_row
from distilrec.search.rows import Rows
from distilrec.storage.form import Array
from distilrec.types import FloatArray, IntArray

Found = tuple[IntArray, FloatArray]
"""Row numbers of items [B, k], best first, and their scores [B, k]; -1 and -infinity where there were no more."""


class ItemIndex(Protocol):
    """Finds the items whose vectors have the largest products with history vectors. Threads may share one."""

    @property
    def n_items(self) -> int:
        """How many items there are, N."""
        ...

    @property
    def width(self) -> int:
        """How long a vector is, D."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that it holds."""
        ...

    @property
    def rows(self) -> Rows:
        """The item vectors as it holds them; a small table may have been decoded."""
        ...

    def search(
        self,
        vectors: FloatArray,
        k: int,
        *,
        exclude: Sequence[IntArray] | None = None,
        allow: Array | None = None,
    ) -> Found:
        """The k best items for each vector; of equal scores the lower row number first.

        Args:
            vectors: history vectors, [B, D].
            k: how many for each.
            exclude: B lists of row numbers that must not appear, and push nothing out.
            allow: what may be recommended, for all of them: a boolean for every item [N], or row numbers.

        Raises:
            SettingsError: a vector of the wrong width or with NaN, k below 1, a row outside the catalogue.
        """
        ...


@dataclass(frozen=True)
class Question:
    """A search whose arguments make sense."""

    vectors: FloatArray  # [B, D]
    k: int
    exclude: Sequence[IntArray]  # B lists of row numbers
    allow: IntArray | None  # row numbers, rising

    def __len__(self) -> int:
        return len(self.vectors)

    def only(self, row: int) -> Question:
        """What one of the vectors asks."""
        return Question(self.vectors[row : row + 1], self.k, [self.exclude[row]], self.allow)


def ask(index: ItemIndex, vectors: Array, k: int, exclude: Sequence[IntArray] | None, allow: Array | None) -> Question:
    """Check the arguments of `ItemIndex.search`."""
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] != index.width:
        raise SettingsError(f"vectors have shape {vectors.shape}; expected (B, {index.width}), a row for each history")
    if not np.issubdtype(vectors.dtype, np.floating):
        raise SettingsError(f"vectors are {vectors.dtype}; expected floating point numbers")
    if first_wild_row(vectors) is not None:
        raise SettingsError(f"vector {first_wild_row(vectors)} holds {WILD}; look at what made it")
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise SettingsError(f"k is {k}; expected a whole number from 1")
    rows = _excluded(exclude, len(vectors), index.n_items)
    return Question(np.ascontiguousarray(vectors, dtype=np.float32), int(k), rows, _allowed(allow, index.n_items))


def _excluded(exclude: Sequence[IntArray] | None, count: int, n_items: int) -> list[IntArray]:
    if exclude is None:
        return [np.empty(0, dtype=np.int64)] * count
    if len(exclude) != count:
        raise SettingsError(f"exclude has {len(exclude)} lists for {count} vectors; expected one for each")
    return [_row_numbers(f"exclude[{row}]", items, n_items) for row, items in enumerate(exclude)]


def _allowed(allow: Array | None, n_items: int) -> IntArray | None:
    if allow is None:
        return None
    allow = np.asarray(allow)
    if allow.dtype != np.bool_:
        return np.unique(_row_numbers("allow", allow, n_items))
    if allow.shape != (n_items,):
        raise SettingsError(f"allow has shape {allow.shape}; expected a boolean for each of {n_items} items")
    return np.flatnonzero(allow)


def _row_numbers(name: str, items: Array, n_items: int) -> IntArray:
    rows = np.asarray(items)
    if not rows.size:
        return np.empty(0, dtype=np.int64)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise SettingsError(f"{name} is {rows.dtype} of shape {rows.shape}; expected a list of row numbers of items")
    if rows.min() < 0 or rows.max() >= n_items:
        strange = rows[(rows < 0) | (rows >= n_items)][0]
        raise SettingsError(f"{name} names item {strange}; the catalogue has rows 0 to {n_items - 1}")
    return rows.astype(np.int64, copy=False)
