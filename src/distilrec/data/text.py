"""Text files into tables: separated columns, `::`, and one sequence a line."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from distilrec.data.columns import Role, roles_of, without_type
from distilrec.data.movielens import HEADLESS, fold_genres, headless_names, role_of
from distilrec.data.tables import Table
from distilrec.errors import DataError

SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "|", "::": "::"}
PEEK_BYTES = 1 << 16
_PEEK_LINES = 50


def read_text(path: Path, data: bytes, role: Role, separator: str | None) -> Table:
    """Read a text file; the separator is found from the first line when it is not given."""
    text, notes = _decode(path, data)
    head = text[:PEEK_BYTES].splitlines()[:_PEEK_LINES]
    separator = _separator(path, head, separator)
    if separator is None and role == "log" and _is_sequence(path, head):
        return Table(_sequences(path, text), str(path), "one sequence a line", notes=notes)
    if separator is None:
        raise DataError(
            f"{path}: its first line, {head[0][:80]!r}, is a single column; expected columns separated by "
            f"{', '.join(SEPARATORS.values())}. Give separator=..., as in separator=' '"
        )
    headless = _is_headless(path, head, separator)
    frame = _double_colon(path, text) if separator == "::" else _delimited(path, text, separator)
    frame = _named(path, frame, role, headless=headless)
    lines, first_line = text.count("\n") + (not text.endswith("\n")), 1 if headless else 2
    one_line_a_row = lines == frame.height + first_line - 1
    kind = f"{_dialect(path, headless)}text, separated by {SEPARATORS.get(separator, repr(separator))}"
    return Table(fold_genres(frame, path), str(path), kind, first_line if one_line_a_row else None, notes)


def peek_text(path: Path, text: str, role: Role) -> list[str]:
    """The columns of a text file, from its first lines; none when it does not look like a table."""
    head = text.lstrip("\ufeff").splitlines()[:_PEEK_LINES]
    separator = HEADLESS.get(path.name) or sniff(head[0])
    if separator is None:
        return ["user_id", "item_id"] if _is_sequence(path, head) else []
    first = [without_type(name.strip().strip('"')) for name in head[0].split(separator)]
    if _is_headless(path, head, separator):
        return headless_names(path, role, len(first)) if role_of(path) else []
    return first


def sniff(line: str) -> str | None:
    """The separator that occurs most often in a line; `::` before all, since genres are parted by `|`."""
    if "::" in line:
        return "::"
    counts = {separator: line.count(separator) for separator in SEPARATORS}
    best = max(counts, key=lambda separator: counts[separator])
    return best if counts[best] else None


def _decode(path: Path, data: bytes) -> tuple[str, tuple[str, ...]]:
    if b"\0" in data[:PEEK_BYTES]:
        raise DataError(f"{path} is neither UTF-8 nor latin-1 text. Save it as UTF-8, or as Parquet")
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError:
        return data.decode("latin-1"), (f"{path.name} is not UTF-8; read as latin-1",)


def _separator(path: Path, head: Sequence[str], given: str | None) -> str | None:
    if given is not None and given not in head[0]:
        other = sniff(head[0])
        advice = f"it looks separated by {SEPARATORS[other]}: separator={other!r}" if other else "leave it out"
        raise DataError(f"{path}: separator {given!r} does not occur in the first line, {head[0][:80]!r}; {advice}")
    return given or HEADLESS.get(path.name) or sniff(head[0])


def _is_headless(path: Path, head: Sequence[str], separator: str) -> bool:
    return path.name in HEADLESS or (separator == "::" and not any(roles_of(head[0].split("::"))))


def _dialect(path: Path, headless: bool) -> str:
    if headless:
        return "MovieLens "
    return "RecBole " if path.suffix in {".inter", ".item", ".user"} else ""


# ---- columns between separators


def _delimited(path: Path, text: str, separator: str) -> pl.DataFrame:
    """Every row with the header as row 0, all text."""
    try:
        return pl.read_csv(
            io.BytesIO(text.encode()),
            separator=separator,
            has_header=False,
            infer_schema=False,
            quote_char='"' if _quotes_enclose(text, separator) else None,
        )
    except pl.exceptions.PolarsError as error:
        quotes = "a field opens with a quote and does not close it, or holds a quote that is not doubled"
        reason = quotes if "not properly escaped" in str(error) else str(error)
        raise DataError(_first_long_line(path, text, separator) or f"{path}: {reason}") from None


def _quotes_enclose(text: str, separator: str) -> bool:
    """Whether quotes enclose fields, or are part of them as in a tab-separated `"Weird Al" Yankovic`."""
    if separator == "," or '"' not in text:
        return True
    between = re.escape(separator)
    stray = rf'(?m)(?:^|{between})"[^{between}\n]*[^"{between}\r\n](?={between}|\r?$)'
    return re.search(stray, text) is None


def _first_long_line(path: Path, text: str, separator: str) -> str | None:
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    width = len(next(rows))
    for row in rows:
        if len(row) > width:
            return (
                f"{path}, line {rows.line_num}: {len(row)} columns; expected {width}, as in the first line. "
                f"Put quotes around a field that holds {separator!r}, or give the right separator"
            )
    return None


def _double_colon(path: Path, text: str) -> pl.DataFrame:
    rows = pl.Series([line.rstrip("\r") for line in text.rstrip("\n").split("\n")]).str.split("::")
    width = len(rows[0])
    wrong = (rows.list.len() != width).arg_true()
    if len(wrong):
        line, count = wrong[0] + 1, len(rows[int(wrong[0])])
        raise DataError(f"{path}, line {line}: {count} columns between '::'; expected {width}, as in the first line")
    return pl.DataFrame({f"column_{i + 1}": rows.list.get(i) for i in range(width)})


def _named(path: Path, frame: pl.DataFrame, role: Role, *, headless: bool) -> pl.DataFrame:
    if headless:
        names = headless_names(path, role, frame.width)
    else:
        names = [without_type(name or f"column_{i + 1}") for i, name in enumerate(frame.row(0))]
        frame = frame[1:]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: two columns are named {twice[0]!r}; give each its own name")
    return frame.rename(dict(zip(frame.columns, names, strict=True)))


# ---- one sequence a line


def _is_sequence(path: Path, head: Sequence[str]) -> bool:
    """`user item item ...`: a text file of two or more words a line, and no header."""
    words = [line.split() for line in head if line.strip()]
    return path.suffix == ".txt" and all(len(line) >= 2 for line in words) and not any(roles_of(words[0]))


def _sequences(path: Path, text: str) -> pl.DataFrame:
    words = pl.Series(text.split("\n")).str.extract_all(r"\S+")
    words = words.filter(words.list.len() > 0)
    users, lengths = words.list.first(), words.list.len()
    if lengths.min() == lengths.max() and lengths[0] > 2 and users.n_unique() < len(users):
        raise DataError(
            f"{path}: every line has {lengths[0]} words and users come back: this looks like a table without "
            "a header, not like sequences (user item item ...). Add a header line and give separator=' '"
        )
    frame = pl.DataFrame({"user_id": users, "item_id": words.list.slice(1)})
    return frame.explode("item_id", empty_as_null=False)
