"""Which index suits a table: by the form that it is stored in, and by how many items it has."""

from __future__ import annotations

from typing import Literal

from distilrec.config import Settings
from distilrec.search.flat import FlatIndex
from distilrec.search.question import ItemIndex
from distilrec.search.stored import ITEM_TABLE, rows_of
from distilrec.storage import Packed


class IndexSettings(Settings):
    """How the best items of a table are found."""

    kind: Literal["auto", "flat"] = "auto"
    """Whether every item is scored, or what suits the table is chosen."""


def index_for(packed: Packed, name: str = ITEM_TABLE, settings: IndexSettings | None = None) -> ItemIndex:
    """An index of an item table as it is stored in a model.

    Raises:
        ArtifactError: the model has no such table, or it is damaged.
    """
    return FlatIndex(rows_of(packed, name))
