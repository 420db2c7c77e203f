"""A column of users or items as labels: values of lists one by one, many numbers in quarters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from distilrec.errors import SettingsError


def labels_of(table: pl.DataFrame, column: str, separator: str | None, what: str) -> pl.DataFrame:
    """Columns row and label: a row of text for each value that a row of the table has; rows without a value have none.

    NaN is no value, as a number or as text.

    Args:
        separator: what parts several values in a text, if they are such.
        what: names the table in messages.
    """
    if column not in table.columns:
        raise SettingsError(f"the table of {what} has no column {column!r}; it has {', '.join(table.columns)}")
    values = table.select(pl.int_range(pl.len()).alias("row"), pl.col(column).alias("label"))
    if separator is not None:
        values = values.with_columns(label=pl.col("label").cast(pl.String).str.split(separator))
    if isinstance(values.schema["label"], pl.List):
        values = values.explode("label")
    texts = values.drop_nulls("label").with_columns(pl.col("label").cast(pl.String))
    return texts.filter((pl.col("label") != "") & (pl.col("label").str.to_lowercase() != "nan"))


def in_quarters(labels: pl.Series, *, most: int) -> pl.Series:
    """The labels, or, where they are numbers of more than `most` kinds, the quarter that each is in."""
    numbers = labels.cast(pl.Float64, strict=False)
    if not len(numbers) or numbers.null_count() or not numbers.is_finite().all() or numbers.n_unique() <= most:
        return labels
    edges = np.unique(np.quantile(numbers.to_numpy(), [0.25, 0.5, 0.75]))
    between = [f"from {low:g} to below {high:g}" for low, high in pairwise(edges)]
    names = [f"below {edges[0]:g}", *between, f"from {edges[-1]:g}"]
    return pl.Series(names).gather(np.searchsorted(edges, numbers.to_numpy(), side="right"))
