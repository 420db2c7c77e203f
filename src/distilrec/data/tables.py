"""What every reader makes: the rows of one file or frame, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

# What pandas, SQL and spreadsheets write for "no value".
NOTHING = ["", "NaN", "nan", "NULL", "null", "None", "<NA>", "NaT"]


@dataclass(frozen=True)
class Table:
    """One file or frame, its columns under their own names, text files as text."""

    frame: pl.DataFrame
    source: str
    format: str
    first_line: int | None = None  # line number of row 0, where one row is one line of a text file
    notes: tuple[str, ...] = ()
    mixed: Mapping[str, str] = field(default_factory=dict)  # columns of numbers and texts: an example of each

    def place(self, row: int) -> str:
        """Where a person finds this row."""
        if self.first_line is None:
            return f"row {row} (from 0)"
        return f"line {row + self.first_line}"
