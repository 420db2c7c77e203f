"""JSON lines into tables."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from distilrec.data.tables import Table
from distilrec.errors import DataError


def read_json_lines(path: Path, data: bytes) -> Table:
    """Read one JSON object a line."""
    if data.lstrip()[:1] == b"[":
        raise DataError(f"{path} is one JSON array; expected JSON lines, one object a line")
    try:
        frame = pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise DataError(_first_bad_line(path, data) or f"{path}: {error}") from None
    lines = data.decode("utf-8", errors="replace").rstrip("\n").split("\n")
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    mixed = {name: example for name in texts if (example := _mixed(frame[name], lines))}
    return Table(frame, str(path), "JSON lines", 1 if len(lines) == frame.height else None, mixed=mixed)


def peek_json_lines(text: str) -> list[str]:
    """The keys of the first object."""
    line = text.splitlines()[0]
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return re.findall(r'"([^"\\]+)"\s*:', line)  # longer than what was peeked at
    return list(value) if isinstance(value, dict) else []


def _first_bad_line(path: Path, data: bytes) -> str | None:
    for number, line in enumerate(data.decode("utf-8", errors="replace").split("\n"), start=1):
        try:
            value = json.loads(line) if line.strip() else {}
        except ValueError as error:
            return f"{path}, line {number}: {line[:60]!r} is not JSON ({error}); expected one object a line"
        if not isinstance(value, dict):
            return f"{path}, line {number}: {line[:60]!r} is not an object; expected one object a line"
    return None


def _mixed(column: pl.Series, lines: Sequence[str]) -> str | None:
    """Where a column has numbers, which Polars turns into texts, beside texts; the lines tell them apart."""
    if not column.str.contains(r"^-?\d").any():
        return None
    number = next(_values(column.name, lines, r"-?\d", (int, float)), None)
    text = next(_values(column.name, lines, '"', (str,)), None)
    if number is None or text is None:
        return None
    return f"line {number[0]} has the number {number[1]!r}, line {text[0]} the text {text[1]!r}"


def _values(key: str, lines: Sequence[str], begins: str, kinds: tuple[type, ...]) -> Iterator[tuple[int, object]]:
    pattern = re.compile(rf'"{re.escape(key)}"\s*:\s*{begins}')
    for number, line in enumerate(lines, start=1):
        if pattern.search(line) and isinstance(value := json.loads(line).get(key), kinds):
            yield number, value
