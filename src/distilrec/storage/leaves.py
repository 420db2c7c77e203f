"""Forms that hold nothing in other forms: what the parts of the others may be stored in."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from distilrec.config import tag_by_kind
from distilrec.storage.floats import BFloat16, Float16, Float32
from distilrec.storage.integers import Int4, Int8


def by_name(value: Any) -> Any:  # noqa: ANN401  (whatever a recipe holds)
    """A form may be given by its name alone."""
    return {"form": value} if isinstance(value, str) else value


LeafForm = Annotated[
    Annotated[Float32, Tag("<float32>")]
    | Annotated[Float16, Tag("<float16>")]
    | Annotated[BFloat16, Tag("<bfloat16>")]
    | Annotated[Int8, Tag("<int8>")]
    | Annotated[Int4, Tag("<int4>")],
    Discriminator(tag_by_kind(key="form")),
    BeforeValidator(by_name),
]
