"""Fewer bits for each number, after training: item tables first, then layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from distilrec.compress.steps import packed_of, restored
from distilrec.config import Settings, tag_by_kind
from distilrec.errors import SettingsError
from distilrec.recommender import Recommender
from distilrec.storage import BFloat16, Float16, Form, Int4, Int8, Integers, Packed, TableForm
from distilrec.storage.form import Array
from distilrec.storage.leaves import by_name
from distilrec.storage.names import is_item_table

VectorForm = Annotated[
    Annotated[Float16, Tag("<float16>")] | Annotated[BFloat16, Tag("<bfloat16>")],
    Discriminator(tag_by_kind(key="form")),
    BeforeValidator(by_name),
]
_ANY_RANK = (Int8, Float16, BFloat16)


class GroupForms(Settings):
    """In which form each group of a model's arrays is stored; none leaves a group as it is."""

    table: TableForm | None = Int8()
    """The item table: most of a recommender."""
    matrices: TableForm | None = Int8()
    """Matrices of layers, and positions. Kernels of convolutions, which few forms can hold, are then int8."""
    vectors: VectorForm | None = Float16()
    """Biases, norms, similarities of item-kNN: whatever has one dimension."""

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.table is None and self.matrices is None and self.vectors is None:
            raise ValueError("quantise has nothing to do; give a form to table, matrices or vectors")
        return self


class Quantise(GroupForms):
    """Arrays are rounded as they are: no training."""

    kind: Literal["quantise"] = "quantise"
    """Its name."""


PRESETS: Mapping[str, Quantise] = {
    "half": Quantise(table=Float16(), matrices=Float16()),
    "int8": Quantise(),
    "int4": Quantise(table=Int4()),
}
"""half: a half of the bytes; int8: a quarter; int4: an eighth for the table, and layers, which are small, in int8."""


def quantise(recommender: Recommender, settings: Quantise | str = "int8") -> Recommender:
    """The same model with its arrays stored in fewer bits; it scores with what they decode to.

    Whole numbers, such as item-kNN's neighbours, are kept in the smallest type that holds them. Whatever was stored
    with fewer numbers before (low rank, sparse, shared rows) has those numbers quantised.

    Args:
        recommender: any kind of model; it is not altered.
        settings: what is stored how, or the name of one of `PRESETS`.

    Raises:
        SettingsError: an array is quantised already, a form cannot hold it, or there is nothing to quantise.
    """
    chosen = _preset(settings) if isinstance(settings, str) else settings
    packed = packed_of(recommender)
    forms = forms_for(packed, chosen)
    if not forms:
        groups = [name for name in ("table", "matrices", "vectors") if getattr(chosen, name) is not None]
        raise SettingsError(f"a model of kind {recommender.model.kind} has no {' or '.join(groups)} to quantise")
    return restored(recommender, packed.storing(forms), done=chosen)


def forms_for(packed: Packed, settings: GroupForms) -> dict[str, Form]:
    """The form for each array that settings speak of, by name."""
    chosen: dict[str, Form] = {}
    for name in packed.names():
        held = packed.forms.get(name)
        if held is not None and held.form in ("alias", "integers"):
            continue  # the one follows its array, the other is as small as it gets
        form = _form_for(name, packed.array(name), settings)
        if form is not None:
            chosen[name] = form
    return chosen


def _form_for(name: str, array: Array, settings: GroupForms) -> Form | None:
    if array.dtype.kind in "iu":
        return Integers()
    if array.ndim < 2:
        return settings.vectors
    form = settings.table if is_item_table(name) else settings.matrices
    return form if form is None or array.ndim == 2 or isinstance(form, _ANY_RANK) else Int8()


def _preset(name: str) -> Quantise:
    if name not in PRESETS:
        raise SettingsError(f"there is no preset {name!r} of quantise; presets: {', '.join(PRESETS)}")
    return PRESETS[name]
