"""pandas, Polars and pyarrow frames into tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from distilrec.data.tables import Table
from distilrec.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import TypeIs


class ArrowFrame(Protocol):
    """What pandas, Polars and pyarrow frames have in common."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow interface."""
        ...


Frame = ArrowFrame | pl.LazyFrame


def is_frame(source: object) -> TypeIs[Frame]:
    """Whether this is a frame of a library that we read."""
    return isinstance(source, pl.LazyFrame) or hasattr(source, "__arrow_c_stream__")


def read_frame(source: Frame, role: str) -> Table:
    """Read a frame; `role` names it in messages."""
    kind = type(source).__module__.partition(".")[0]
    name = f"the {kind} frame of the {role}"
    if isinstance(source, pl.LazyFrame):
        table = Table(source.collect(), name, "Polars frame")
    elif isinstance(source, pl.DataFrame):
        table = Table(source, name, "Polars frame")
    elif kind == "pandas":
        table = _pandas(source, name)  # type: ignore[arg-type]  # the module says that it is one
    else:
        table = Table(pl.DataFrame(source), name, f"{kind} frame")
    if table.frame.is_empty():
        raise DataError(f"{name} is empty; expected at least one row")
    return table


def _pandas(source: pd.DataFrame, name: str) -> Table:
    """Columns of Python objects are read one by one, since Arrow refuses those that mix numbers and texts."""
    columns: list[pl.Series] = []
    mixed: dict[str, str] = {}
    for label in source.columns:
        series = source[label]
        if series.dtype != object:
            columns.append(_by_arrow(series, str(label)))
            continue
        values = [None if _is_missing(value) else value for value in series.tolist()]
        if example := _mixed(values):
            mixed[str(label)] = example
            values = [None if value is None else str(value) for value in values]
        columns.append(pl.Series(str(label), values, strict=False))
    return Table(pl.DataFrame(columns), name, "pandas frame", mixed=mixed)


def _by_arrow(series: pd.Series[Any], label: str) -> pl.Series:
    try:
        return pl.from_pandas(series).alias(label)
    except ImportError:
        raise MissingExtraError("pyarrow", "frames") from None


def _mixed(values: Sequence[object]) -> str | None:
    number = next(((i, v) for i, v in enumerate(values) if isinstance(v, int | float)), None)
    text = next(((i, v) for i, v in enumerate(values) if isinstance(v, str)), None)
    if number is None or text is None:
        return None
    return f"row {number[0]} (from 0) has the number {number[1]!r}, row {text[0]} the text {text[1]!r}"


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ in _NO_VALUE


_NO_VALUE = {"NAType", "NaTType"}  # pandas' own, told by name so that pandas need not be imported
