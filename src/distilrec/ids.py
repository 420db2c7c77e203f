"""Outside ids to row numbers and back. Inside the package there are only row numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from distilrec.types import IntArray


class IdIndex:
    """Finds the row number of an outside id.

    Ids are integers or text, as the log had them; an id that is asked for in the other form (`"50"` for `50`) is
    found too, since that is how ids arrive from a command line or a URL; so is `50.0`, since that is what pandas makes
    of a whole number in a column with gaps.
    """

    def __init__(self, ids: pl.Series) -> None:
        self.ids, self.values = ids, ids.to_list()
        self._integers = ids.dtype.is_integer()
        self._rows: dict[object, int] = dict(zip(self.values, range(len(ids)), strict=True))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Iterable[object]) -> IntArray:
        """Row numbers, -1 for an unknown id."""
        asked = list(ids)
        if set(map(type, asked)) <= {int if self._integers else str}:  # a bool's type is bool
            found = list(map(self._rows.get, asked))  # several times as fast as what is careful with every id
            known = [self._row(value) if row is None else row for value, row in zip(asked, found, strict=True)]
            return np.array(known, dtype=np.int64)
        return np.fromiter((self._row(value) for value in asked), dtype=np.int64)

    def _row(self, value: object) -> int:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | str):
            return -1
        if isinstance(value, str):
            value = _as_integer(value.strip()) if self._integers else value.strip()
        return self._rows.get(value if self._integers else str(value), -1)


_LONGEST_INTEGER = 20  # characters of the smallest 64-bit integer; Python refuses to read text of thousands of digits


def _as_integer(text: str) -> int | str:
    if len(text) > _LONGEST_INTEGER or not (text.isascii() and text.removeprefix("-").isdecimal()):
        return text
    return int(text) if str(int(text)) == text else text
