"""Which index suits a table, by the form it is stored in."""

from __future__ import annotations

from distilrec.search.flat import FlatIndex
from distilrec.search.question import ItemIndex
from distilrec.search.rows import FloatRows, Int8Rows, Rows
from distilrec.storage import Float16, Int8, Packed

ITEM_TABLE = "table.weight"


def rows_of(packed: Packed, name: str = ITEM_TABLE) -> Rows:
    """A table's rows as they are stored, where products can be made of that form; decoded otherwise."""
    form = packed.forms.get(name)
    if isinstance(form, Int8):
        return Int8Rows(*form.codes_and_scales(packed.parts(name)))
    if isinstance(form, Float16):
        form.decode(packed.parts(name))  # refuses what is damaged
        return FloatRows(packed.parts(name)["values"])
    return FloatRows(packed.array(name))


def index_for(packed: Packed, name: str = ITEM_TABLE) -> ItemIndex:
    """An index over a stored table.

    Raises:
        ArtifactError: the table is damaged, or there is none of that name.
    """
    return FlatIndex(rows_of(packed, name))
