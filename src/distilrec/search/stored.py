"""From a table as it is stored to its rows, without decoding it where its form can be searched as it is."""

from __future__ import annotations

from distilrec.errors import ArtifactError
from distilrec.search.rows import FloatRows, Int8Rows, Rows
from distilrec.storage import Alias, Float16, Int8, Packed

ITEM_TABLE = "table.weight"


def rows_of(packed: Packed, name: str = ITEM_TABLE) -> Rows:
    """The rows of one array of a model.

    Raises:
        ArtifactError: the model has no such array, or it is damaged or no table.
    """
    if name not in packed.names():
        raise ArtifactError(f"the model has no array {name!r}; it has {', '.join(packed.names())}")
    form = packed.forms.get(name)
    if isinstance(form, Alias):
        return rows_of(packed, form.of)
    try:
        if isinstance(form, Int8):
            return Int8Rows(*form.codes_and_scales(packed.parts(name)))
        if isinstance(form, Float16):
            return FloatRows(*form.checked(packed.parts(name), values=("float16", 2)))
        return FloatRows(packed.array(name) if form is None else form.decode(packed.parts(name)))
    except ArtifactError as error:
        raise ArtifactError(f"{name}: {error}") from None
