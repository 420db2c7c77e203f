"""One file into one table: which reader, and what a glance at its beginning tells."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from distilrec.data.columns import Role
from distilrec.data.jsonl import peek_json_lines, read_json_lines
from distilrec.data.tables import Table
from distilrec.data.text import PEEK_BYTES, peek_text, read_text
from distilrec.errors import DataError

_PARQUET = {".parquet", ".pq"}
_JSON_LINES = {".jsonl", ".ndjson", ".json"}
_TEXT = {".csv", ".tsv", ".txt", ".dat", ".data", ".inter", ".item", ".user"}
SUFFIXES = _PARQUET | _JSON_LINES | _TEXT


def read_file(path: Path, role: Role, *, separator: str | None = None) -> Table:
    """Read a whole file; `separator` counts for text alone."""
    if not path.exists():
        raise DataError(f"{path} does not exist; expected a file or a folder")
    data = path.read_bytes()
    if not data.strip():
        raise DataError(f"{path} is empty; expected at least one row")
    if path.suffix in _PARQUET:
        table = Table(_parquet(path, data), str(path), "Parquet")
    elif path.suffix in _JSON_LINES:
        table = read_json_lines(path, data)
    else:
        table = read_text(path, data, role, separator)
    if table.frame.is_empty():
        raise DataError(f"{path} has the columns {', '.join(table.frame.columns)} but no rows")
    return table


def peek_columns(path: Path, role: Role) -> list[str]:
    """The columns of a file, from its beginning alone; none when it does not look like a table."""
    if path.suffix in _PARQUET:
        try:
            return pl.read_parquet(path, n_rows=0).columns
        except pl.exceptions.PolarsError:
            return []  # not Parquet; reading it says so
    with path.open("rb") as file:
        head = file.read(PEEK_BYTES)
    if b"\0" in head or not (text := head.decode("utf-8", errors="replace").strip()):
        return []
    return peek_json_lines(text) if path.suffix in _JSON_LINES else peek_text(path, text, role)


def _parquet(path: Path, data: bytes) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(data))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} is not a Parquet file that can be read: {error}") from None
