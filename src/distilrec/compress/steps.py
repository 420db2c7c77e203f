"""What all methods begin and end with: a recommender's arrays as they are stored, and a new recommender of such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.models.kinds import rebuild
from distilrec.recommender import Recommender
from distilrec.storage import Packed
from distilrec.storage.form import Array


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


def reshaped(
    recommender: Recommender,
    state: Mapping[str, Array],
    settings: Settings,
    *,
    done: Settings,
    facts: Mapping[str, Any] | None = None,
) -> Recommender:
    """A recommender of another shape with these arrays; those that are as they were keep the form they are stored in.

    Raises:
        SettingsError: an array that is no longer the same is stored in a form.
    """
    packed = packed_of(recommender)
    same = {
        name: form
        for name, form in packed.forms.items()
        if name in state and np.array_equal(packed.array(name), state[name])
    }
    changed = sorted(packed.forms.keys() - same.keys())
    if changed:
        held = packed.forms[changed[0]].form
        raise SettingsError(
            f"{getattr(done, 'kind', '')} changes {changed[0]}, which is stored as {held} already; do this before what "
            "stores it so, or start from the model that was not compressed"
        )
    arrays = {name: array for name, array in state.items() if name not in same}
    for name in same:
        arrays |= {f"{name}/{part}": array for part, array in packed.parts(name).items()}
    return restored(recommender, Packed(arrays, same), done=done, settings=settings, facts=facts)
