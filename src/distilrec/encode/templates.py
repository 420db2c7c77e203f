"""What a text encoder reads of an item: columns of the catalogue, joined by a template."""

from __future__ import annotations

import re
import warnings

import polars as pl

from distilrec.errors import DataError

_FIELD = re.compile(r"\{([^{}]*)\}")
# Names without case, spaces, underscores, dots and hyphens; a column is read in the order of these.
_TITLES = (
    *("title", "name", "movietitle", "itemtitle", "producttitle", "booktitle", "productname", "itemname"),
    *("artistname", "trackname", "headline", "artist", "author", "brand"),
)
_DETAILS = (
    *("genres", "genre", "class", "category", "categories", "tags", "keywords"),
    *("overview", "description", "plot", "summary", "abstract", "text"),
)


def fill(items: pl.DataFrame, template: str) -> list[str]:
    """One text for each item: `fill(items, "{title}. {genres}")`.

    A missing value is left out together with the punctuation and brackets that belong to it, so that an item
    without genres reads `Toy Story` and not `Toy Story. `. An item with none of the values has an empty text;
    a warning says how many there are.
    """
    names = _fields(template, items.columns)
    columns = [_as_text(items[name]) for name in names]
    shapes: dict[tuple[bool, ...], str] = {}
    texts = []
    for values in zip(*columns, strict=True):
        present = tuple(bool(value) for value in values)
        if present not in shapes:
            shapes[present] = _shape(template, present)
        texts.append(shapes[present].format(*values))
    _report_empty(texts, template)
    return texts


def default_template(items: pl.DataFrame) -> str:
    """A template of the columns that look like text: what the item is called, then what kind of thing it is."""
    by_plain_name: dict[str, str] = {}
    for name in items.columns:
        if _is_text(items.schema[name]) and items[name].null_count() < len(items):
            by_plain_name.setdefault(re.sub(r"[\s_.-]", "", name).lower(), name)
    chosen = [by_plain_name[name] for name in (*_TITLES, *_DETAILS) if name in by_plain_name]
    if not chosen:
        raise DataError(
            f"the catalogue has no column that looks like text (title, description, genres ...); it has "
            f'{", ".join(items.columns) or "no columns"}. Name one in the template, such as "{{my_column}}"'
        )
    return ". ".join(f"{{{name}}}" for name in chosen)


def _fields(template: str, columns: list[str]) -> list[str]:
    names = _FIELD.findall(template)
    if not names or set("{}") & set(_FIELD.sub("", template)):
        raise DataError(f'template {template!r}: expected column names in braces, such as "{{title}}. {{genres}}"')
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise DataError(
            f"template {template!r} names {', '.join(map(repr, unknown))}; the catalogue has {', '.join(columns)}"
        )
    return names


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum) or dtype == pl.List(pl.String)


def _as_text(column: pl.Series) -> list[str]:
    """Values in one line each; missing ones are empty. A year that became 1995.0 beside a gap reads 1995."""
    if isinstance(column.dtype, pl.List):
        column = column.cast(pl.List(pl.String)).list.join(", ", ignore_nulls=True)
    if column.dtype.is_float():
        column = column.fill_nan(None)
        if (column.drop_nulls() % 1 == 0).all():
            column = column.cast(pl.Int64)
    return [" ".join((value or "").split()) for value in column.cast(pl.String)]


def _shape(template: str, present: tuple[bool, ...]) -> str:
    """The template with places for the values that are there, tidied where one is missing."""
    if not any(present):
        return ""
    places = iter([f"{{{n}}}" if there else "" for n, there in enumerate(present)])
    shape = _FIELD.sub(lambda _: next(places), template)
    if all(present):
        return shape
    shape = re.sub(r"\(\s*\)|\[\s*\]|\"\s*\"", "", shape)
    shape = re.sub(r"\s+([.,;:])", r"\1", re.sub(r"\s+", " ", shape))
    shape = re.sub(r"([.,;:|/-])(?:\s*[.,;:|/-])+", r"\1", shape)  # the first of neighbouring marks stays
    shape = re.sub(r"^[\s.,;:|/-]+|[\s,;:|/-]+$", "", shape)
    return shape if template.rstrip().endswith(".") else re.sub(r"[\s.]+$", "", shape)


def _report_empty(texts: list[str], template: str) -> None:
    empty = sum(not text for text in texts)
    if empty == len(texts):
        raise DataError(
            f"template {template!r} gives an empty text for all {len(texts):,} items: every value is missing"
        )
    if empty:
        warnings.warn(
            f"template {template!r}: {empty:,} of {len(texts):,} items have no text; their vectors are zero",
            stacklevel=3,
        )
