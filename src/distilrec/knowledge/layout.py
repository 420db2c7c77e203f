"""What a knowledge folder is made of: columns that grow with the data, tables that do not, and parts that use them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from distilrec.errors import KnowledgeError
from distilrec.files import atomic_path
from distilrec.types import IntArray

FORMAT, FORMAT_VERSION = "distilrec-knowledge", 2
MANIFEST, BEGUN = "manifest.json", "begun.json"
POSITIONS, USER_VECTORS = "positions", "user_vectors"  # tables


@dataclass(frozen=True)
class Column:
    """An array with a row for each position (or window, or pair of positions), kept in shards."""

    name: str
    shape: tuple[int, ...] = ()
    """Of one row."""
    dtype: str = "float16"
    per: Literal["position", "window", "pair"] = "position"
    """What a row is of; pairs are those of one window, row by row, as attention is."""

    def rows(self, lengths: IntArray) -> int:
        """How many rows windows of these lengths have."""
        return int(row_counts(self.per, lengths).sum())


@dataclass(frozen=True)
class FactorPart:
    """Soft labels as a column of history vectors times a table of item vectors."""

    column: str = "history_vectors"
    table: str = "item_vectors"
    weight: float = 1.0
    temperature: float = 1.0
    fold: int | None = None
    """For a cross-fitted teacher: the part speaks of the windows that the table `folds` gives this number."""
    form: Literal["factors"] = "factors"


@dataclass(frozen=True)
class ListPart:
    """Soft labels as lists: three columns, whose names begin with `prefix`."""

    prefix: str = "top"
    weight: float = 1.0
    form: Literal["lists"] = "lists"

    @property
    def names(self) -> tuple[str, str, str]:
        """Of the columns of items, logits and log-sums."""
        return f"{self.prefix}_items", f"{self.prefix}_logits", f"{self.prefix}_log_sums"

    @property
    def tail(self) -> str:
        """Of the table of the tail's proportions; where there is none, the tail is even."""
        return f"tail{self.prefix.removeprefix('top')}"

    def columns(self, k: int, n_items: int, dtype: str = "float16") -> list[Column]:
        """Item rows in the smallest integers that hold them, logits, and log-sum-exp."""
        integers = "int16" if n_items <= np.iinfo(np.int16).max else "int32"
        items, logits, log_sums = self.names
        return [Column(items, (k,), integers), Column(logits, (k,), dtype), Column(log_sums, (), "float32")]


Part = FactorPart | ListPart


@dataclass(frozen=True)
class Shard:
    """Consecutive windows kept together, one file a column."""

    number: int
    first_window: int
    windows: int
    positions: int
    sha256: dict[str, str] = field(default_factory=dict)
    """Of each column's file."""


def row_counts(per: str, lengths: IntArray) -> IntArray:
    """How many rows each window of these lengths has in a column of this kind, [windows]."""
    return {"window": np.ones_like(lengths), "pair": lengths**2, "position": lengths}[per]


def table_path(folder: Path, name: str) -> Path:
    """Where a table lies."""
    return folder / f"{name}.npy"


def shard_path(folder: Path, column: str, number: int) -> Path:
    """Where a column's share of a shard lies."""
    return folder / f"{column}-{number:05d}.npy"


def save_array(path: Path, array: np.ndarray[Any, Any], what: str, *, dtype: str | None = None) -> None:
    """Write an array whole or not at all; NaN, infinity and what does not fit `dtype` are refused."""
    kept = _checked(array, dtype, what)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, kept, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def save_chunks(
    path: Path, chunks: Iterable[np.ndarray[Any, Any]], what: str, *, shape: tuple[int, ...], dtype: str
) -> None:
    """Write an array of which only some rows at a time are held; refuses what `save_array` does."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(_checked(chunk, dtype, what).tobytes())
        file.flush()
        os.fsync(file.fileno())


def _checked(array: np.ndarray[Any, Any], dtype: str | None, what: str) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise KnowledgeError(f"{what} holds NaN or infinity; the teacher is broken, so nothing can be learnt from it")
    return array if dtype is None else _converted(array, dtype, what)


def _converted(array: np.ndarray[Any, Any], dtype: str, what: str) -> np.ndarray[Any, Any]:
    wanted = np.dtype(dtype)
    limits = np.finfo(wanted) if wanted.kind == "f" else np.iinfo(wanted) if wanted.kind == "i" else None
    if limits is not None and array.size and array.dtype != wanted:
        largest = float(np.abs(array).max())
        if largest > float(limits.max):
            raise KnowledgeError(f"{what} holds {largest:g}, which {dtype} cannot; extract with dtype float32")
    return array.astype(wanted, copy=False)


def part_from(described: Mapping[str, Any]) -> Part:
    """A part as the manifest has it."""
    return FactorPart(**described) if described["form"] == "factors" else ListPart(**described)


def describe(part: Part) -> dict[str, Any]:
    """A part for the manifest."""
    return asdict(part)
