"""What may be recommended: by columns of the catalogue, by lists of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from distilrec.errors import SettingsError
from distilrec.types import IntArray

BoolArray = NDArray[np.bool_]
Value = str | int | float | bool
Where = Mapping[str, Value | Sequence[Value]]
_KEPT = 256  # masks that are remembered: a shop has few categories, and asks for them again and again


class Catalogue:
    """The items and their columns. Threads may share one."""

    def __init__(self, items: pl.DataFrame) -> None:
        self.items = items
        self._masks: dict[tuple[str, Value], BoolArray] = {}

    def matching(self, where: Where) -> BoolArray:
        """Which items have, in every column that is named, one of the values that are named, [N].

        In a column of lists an item matches by any value of its list.

        Raises:
            SettingsError: there is no such column, or a value is none that a column could hold.
        """
        found = np.ones(self.items.height, dtype=np.bool_)
        for column, wanted in where.items():
            values = [wanted] if isinstance(wanted, Value) else list(wanted)
            anyone = np.zeros(self.items.height, dtype=np.bool_)
            for value in values:
                anyone |= self._mask(column, value)
            found &= anyone
        return found

    def _mask(self, column: str, value: Value) -> BoolArray:
        if column not in self.items.columns:
            raise SettingsError(f"the catalogue has no column {column!r}; it has {', '.join(self.items.columns)}")
        if not isinstance(value, Value):
            raise SettingsError(f"{column} cannot be {value!r}; expected text, a number, true or false")
        known = self._masks.get((column, value))
        if known is None:
            known = _equal(self.items[column], value)
            if len(self._masks) < _KEPT:
                self._masks[column, value] = known
        return known


def _equal(column: pl.Series, value: Value) -> BoolArray:
    held = column.dtype.inner if isinstance(column.dtype, pl.List) else column.dtype
    if isinstance(value, str) != (held == pl.String or held == pl.Categorical):
        return np.zeros(len(column), dtype=np.bool_)  # text is never a number
    same = column.list.contains(value) if isinstance(column.dtype, pl.List) else column == value
    mask: BoolArray = same.fill_null(value=False).to_numpy()
    return mask


def joined(mask: BoolArray | None, rows: IntArray | None, n_items: int) -> BoolArray | None:
    """What both a mask and a list of rows allow; none where there is neither, and everything may be recommended."""
    if rows is None:
        return mask
    listed: Any = np.zeros(n_items, dtype=np.bool_)
    listed[rows] = True
    both: BoolArray = listed if mask is None else listed & mask
    return both
