"""Which index suits a table: by the form that it is stored in, and by how many items it has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distilrec.config import Settings
from distilrec.search.codes import Codes, faiss_is_installed
from distilrec.search.fast_scan import FastScanIndex
from distilrec.search.flat import FlatIndex
from distilrec.search.question import ItemIndex
from distilrec.search.stored import ITEM_TABLE, codes_of, rows_of
from distilrec.storage import Packed


class IndexSettings(Settings):
    """How the best items of a table are found."""

    kind: Literal["auto", "flat", "fast_scan"] = "auto"
    """Score every item, or those that a scan of 4-bit codes finds; auto scans large tables where faiss is installed."""
    scan_from: int = Field(default=20_000, ge=1)
    """Items from which auto scans: below, scoring every item takes half a millisecond, and loading faiss far more."""
    shortlist: int | None = Field(default=None, ge=1)
    """Items that a scan finds, to be scored exactly; none takes what was measured to find 99 in 100 of the ten best."""


def index_for(
    packed: Packed, name: str = ITEM_TABLE, settings: IndexSettings | None = None, *, codes: Codes | None = None
) -> ItemIndex:
    """An index of an item table as it is stored in a model.

    A fast scan makes its codes here unless they are given: seconds, where there are a million items.

    Raises:
        ArtifactError: the model has no such table, it is damaged, or the codes are of another one.
        MissingExtraError: a fast scan is asked for, and faiss is not installed.
    """
    settings, rows = settings or IndexSettings(), rows_of(packed, name)
    if not _scans(settings, rows.n_items):
        return FlatIndex(rows)
    return FastScanIndex(rows, shortlist=settings.shortlist, codes=codes or codes_of(packed, name))


def _scans(settings: IndexSettings, n_items: int) -> bool:
    if settings.kind == "auto":
        return n_items >= settings.scan_from and faiss_is_installed()
    return settings.kind == "fast_scan"
