"""A data set as files that any library can read: sequences and cases as Parquet, in row numbers."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from distilrec.errors import DataError
from distilrec.files import atomic_path, write_json
from distilrec.run.stages import Prepared
from distilrec.types import Cases, IntArray, Ragged

SPLITS = ("validation", "test")


def write_sequences(prepared: Prepared, folder: Path) -> None:
    """Write `train.parquet`, a file for each split, and `about.json`."""
    split, n_items = prepared.split, prepared.interactions.n_items
    _write(folder / "train.parquet", {"user": split.train_users, "items": split.train})
    for name in SPLITS:
        _write_cases(folder / f"{name}.parquet", getattr(split, name))
    write_json(folder / "about.json", {"n_items": n_items, "split": split.digest()})


def _write_cases(path: Path, cases: Cases) -> None:
    several = int((cases.relevant.lengths != 1).sum())
    if several:
        raise DataError(
            f"{several:,} cases ask for more than one item, and the peers validate on one a user; "
            "use a split of kind leave_last_out"
        )
    _write(path, {"user": cases.users, "history": cases.histories, "relevant": cases.relevant})


def _write(path: Path, columns: dict[str, IntArray | Ragged]) -> None:
    series = [
        _lists(column).alias(name) if isinstance(column, Ragged) else pl.Series(name, column)
        for name, column in columns.items()
    ]
    with atomic_path(path) as temporary:
        pl.DataFrame(series).write_parquet(temporary)


def _lists(rows: Ragged) -> pl.Series:
    """Lists, also where all rows are equally long, of which Polars by itself would make arrays."""
    return pl.Series([row.tolist() for row in rows], dtype=pl.List(pl.Int64))
