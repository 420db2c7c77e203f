"""From a table as it is stored to its rows, without decoding it where its form can be searched as it is."""

from __future__ import annotations

from distilrec.errors import ArtifactError
from distilrec.search.codes import Codes
from distilrec.search.rows import FloatRows, Int8Rows, Rows
from distilrec.search.small_rows import CodebookRows, Int4Rows, ProjectedRows
from distilrec.storage import Alias, Codebooks, Float16, Form, Int4, Int8, LowRank, Packed
from distilrec.storage.form import Parts

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
        return FloatRows(packed.array(name)) if form is None else _rows_in(form, packed.parts(name))
    except ArtifactError as error:
        raise ArtifactError(f"{name}: {error}") from None


def codes_of(packed: Packed, name: str = ITEM_TABLE) -> Codes | None:
    """The codes of a table that is stored as such a scan reads it: 4 bits, and no lengths beside them."""
    form = packed.forms.get(name)
    if isinstance(form, Alias):
        return codes_of(packed, form.of)
    if not isinstance(form, Codebooks) or form.bits != 4 or form.unit_rows:
        return None
    plain = form.plain(packed.parts(name))
    return Codes.stored(plain["codes"], plain["books"])


def _rows_in(form: Form, parts: Parts) -> Rows:
    match form:
        case Float16():
            return FloatRows(*form.checked(parts, values=("float16", 2)))
        case Int8():
            return Int8Rows(*form.codes_and_scales(parts))
        case Int4():
            codes, scales = form.codes_and_scales(parts)  # refuses what is damaged
            return Int4Rows(parts["codes"], scales, codes.shape[1])
        case Codebooks():
            return _rows_of_books(form, parts)
        case LowRank():
            return _rows_of_factors(form, parts)
    return FloatRows(form.decode(parts))


def _rows_of_books(form: Codebooks, parts: Parts) -> Rows:
    plain = form.plain(parts)
    rows = CodebookRows(plain["codes"], plain["books"], plain.get("lengths"))
    return ProjectedRows(rows, plain["rotation"].T) if form.rotate else rows


def _rows_of_factors(form: LowRank, parts: Parts) -> Rows:
    left, right = form.factors(parts)  # refuses what is damaged
    if form.left is None:
        return ProjectedRows(FloatRows(left), right)
    inner = {name.removeprefix("left/"): part for name, part in parts.items() if name.startswith("left/")}
    return ProjectedRows(_rows_in(form.left, inner), right)
