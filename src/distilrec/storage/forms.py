"""Every form by its name: what settings choose from, and what files are read with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from distilrec.config import parse, tag_by_kind
from distilrec.errors import ArtifactError, SettingsError
from distilrec.storage.codebooks import Codebooks
from distilrec.storage.factors import LowRank, Sparse
from distilrec.storage.floats import BFloat16, Float16, Float32, Integers
from distilrec.storage.form import Form
from distilrec.storage.integers import Int4, Int8
from distilrec.storage.leaves import by_name
from distilrec.storage.shared import Alias, Hashed, QuotientRemainder, SharedRows

FORMS: Mapping[str, type[Form]] = {
    "float32": Float32,
    "float16": Float16,
    "bfloat16": BFloat16,
    "integers": Integers,
    "int8": Int8,
    "int4": Int4,
    "codebooks": Codebooks,
    "low_rank": LowRank,
    "sparse": Sparse,
    "shared_rows": SharedRows,
    "alias": Alias,
    "quotient_remainder": QuotientRemainder,
    "hashed": Hashed,
}

TableForm = Annotated[
    Annotated[Float32, Tag("<float32>")]
    | Annotated[Float16, Tag("<float16>")]
    | Annotated[BFloat16, Tag("<bfloat16>")]
    | Annotated[Int8, Tag("<int8>")]
    | Annotated[Int4, Tag("<int4>")]
    | Annotated[Codebooks, Tag("<codebooks>")]
    | Annotated[LowRank, Tag("<low_rank>")]
    | Annotated[Sparse, Tag("<sparse>")]
    | Annotated[SharedRows, Tag("<shared_rows>")],
    Discriminator(tag_by_kind(key="form")),
    BeforeValidator(by_name),
]
"""The forms that a finished array can be encoded in; a recipe gives one by its name, or as a mapping with `form`."""


def read_form(described: object, *, where: str) -> Form:
    """A form from what a file says of it.

    Raises:
        ArtifactError: it is no form, or one of a newer version.
    """
    strange = sorted(_names_in(described) - FORMS.keys())
    if strange:
        raise ArtifactError(
            f"{where} is stored in the form {strange[0]!r}, which this distilrec does not know. "
            "Run: pip install --upgrade distilrec"
        )
    if not isinstance(described, Mapping) or "form" not in described:
        raise ArtifactError(f"{where} should say in which form it is stored; it says {described!r}")
    try:
        return parse(FORMS[described["form"]], described, where=where)
    except SettingsError as error:
        raise ArtifactError(
            f"{error}. Where a newer distilrec wrote it, run: pip install --upgrade distilrec; else it is damaged"
        ) from None


def _names_in(described: object) -> set[str]:
    """The name of a form and those of the forms of its parts."""
    if not isinstance(described, Mapping):
        return set()
    own = {str(described["form"])} if "form" in described else set()
    return own.union(*(_names_in(value) for value in described.values()))


def describe_form(form: Form) -> dict[str, Any]:
    """What a file says of it."""
    return form.model_dump(mode="json")
