"""What all methods begin and end with: a recommender's arrays as they are stored, and a new recommender of such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distilrec.config import Settings
from distilrec.models.kinds import rebuild
from distilrec.recommender import Recommender
from distilrec.storage import Packed


def packed_of(recommender: Recommender) -> Packed:
    """A recommender's arrays in the forms that they are stored in."""
    return recommender.packed or Packed.of(recommender.model.state())


def restored(
    recommender: Recommender,
    packed: Packed,
    *,
    done: Settings,
    settings: Settings | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Recommender:
    """A recommender that stores `packed`, rebuilt from what it decodes to, with the catalogue of the one it came from.

    Args:
        done: the method; it and `facts` about it are added to what `about` tells under `compressed`.
        settings: of the model, where its shape is no longer the same.
    """
    model = recommender.model
    before = list(recommender.about.get("compressed", []))
    about = {**recommender.about, "compressed": [*before, {**done.model_dump(mode="json"), **(facts or {})}]}
    shape = (settings or model.settings).model_dump(mode="json")
    rebuilt = rebuild(model.kind, shape, packed.state())
    return type(recommender)(rebuilt, recommender.items, about=about, packed=packed if packed.forms else None)
