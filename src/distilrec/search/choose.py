"""Which index suits a table: by the form that it is stored in, and by how many items it has."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from distilrec.config import Settings
from distilrec.search.codes import Codes, faiss_is_installed
from distilrec.search.fast_scan import FastScanIndex, are_learnt, codes_for
from distilrec.search.flat import FlatIndex
from distilrec.search.question import ItemIndex
from distilrec.search.rows import FloatRows, Rows
from distilrec.search.stored import ITEM_TABLE, codes_of, rows_of
from distilrec.storage import Packed


class IndexSettings(Settings):
    """How the best items of a table are found."""

    kind: Literal["auto", "flat", "fast_scan"] = "auto"
    """Score every item, or those that a scan of 4-bit codes finds; auto scans large tables where faiss is installed."""
    scan_from: int = Field(default=20_000, ge=1)
    """Items from which auto scans: below, scoring every item takes half a millisecond, and loading faiss far more."""
    decode_up_to_mb: int = Field(default=16, ge=0)
    """A table that is scored in full, and takes at most so many MiB in float32, is decoded once, when it is loaded:
    decoding it for each request would take longer than all else. 0 always keeps it as it is stored."""
    shortlist: int | None = Field(default=None, ge=1)
    """Items that a scan finds, to be scored exactly; none takes what was measured to find 99 in 100 of the ten best."""


def index_for(
    packed: Packed, name: str = ITEM_TABLE, settings: IndexSettings | None = None, *, codes: Codes | None = None
) -> ItemIndex:
    """An index of an item table as it is stored in a model; its `rows` are the table, read once.

    A fast scan makes its codes here unless they are given: seconds, where there are a million items.

    Raises:
        ArtifactError: the model has no such table, it is damaged, or the codes are of another one.
        MissingExtraError: a fast scan is asked for, and faiss is not installed.
    """
    settings, rows = settings or IndexSettings(), rows_of(packed, name)
    if not _scans(settings, rows.n_items):
        return FlatIndex(_decoded(rows, settings.decode_up_to_mb))
    return FastScanIndex(rows, shortlist=settings.shortlist, codes=codes or codes_of(packed, name))


def codes_to_keep(packed: Packed, name: str = ITEM_TABLE) -> Codes | None:
    """Codes that `index_for` would learn each time; none of a small table, of one stored as codes, or without faiss."""
    rows, settings = rows_of(packed, name), IndexSettings()
    if not _scans(settings, rows.n_items) or not are_learnt(rows) or codes_of(packed, name) is not None:
        return None
    return codes_for(rows)


def _decoded(rows: Rows, most_mb: int) -> Rows:
    """The rows in float32 where they are few, otherwise as they are."""
    if isinstance(rows, FloatRows) and rows.table.dtype == np.float32:
        return rows
    few = rows.n_items * rows.width * 4 <= most_mb * 2**20
    return FloatRows(rows.take_range(0, rows.n_items)) if few else rows


def _scans(settings: IndexSettings, n_items: int) -> bool:
    if settings.kind == "auto":
        return n_items >= settings.scan_from and faiss_is_installed()
    return settings.kind == "fast_scan"
