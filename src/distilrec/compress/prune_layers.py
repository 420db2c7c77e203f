"""Fewer layers: whole blocks are left out, those first without which validation loses least."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from distilrec.compress.retraining import Retraining, needs_student, needs_training, retrained, score_of
from distilrec.compress.steps import reshaped
from distilrec.compress.units import State
from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.recommender import Recommender

STACKS: Mapping[str, tuple[str, str]] = {
    "transformer": ("blocks", "blocks"),
    "linear_recurrence": ("blocks", "blocks"),
    "gru": ("layers", "layers"),
    "cnn": ("body", "blocks"),
}
"""Kind -> what its layers' arrays are named by, and the setting that says how many there are."""
_PER_BLOCK = ("feedforward_widths", "block_heads")


class PruneLayers(Settings):
    """Whole blocks of a transformer, a linear recurrence or a CNN, or layers of a GRU."""

    kind: Literal["prune_layers"] = "prune_layers"
    """Its name."""
    keep: int = Field(1, ge=1)
    """How many stay."""
    retrain: bool = True
    """Whether the model is trained once more."""


def prune_layers(recommender: Recommender, settings: PruneLayers, training: Retraining | None) -> Recommender:
    """A model of the same kind with fewer layers.

    One after another goes, each time the one without which validation loses least. Of a CNN it is always the last,
    since how far a block sees depends on its place.

    Raises:
        SettingsError: its kind has no layers that could go, it has no more than are to stay, or there is nothing to
            measure with.
    """
    needs_student(recommender, settings)
    stack, setting = stack_of(recommender, settings)
    needed = needs_training(recommender, settings, training)
    state, shape, places = recommender.model.state(), recommender.model.settings, list(range(_count(recommender)))
    while len(places) > settings.keep:
        options = [without_layer(state, shape, stack, setting, at) for at in _candidates(recommender, len(places))]
        scores = [score_of(recommender, found, needed, settings=smaller) for found, smaller, _ in options]
        state, shape, gone = options[scores.index(max(scores))]
        del places[gone]
    facts = {"kept": places}
    small = reshaped(recommender, state, shape, done=settings, facts=facts)
    return retrained(small, needed if settings.retrain else None)


def stack_of(recommender: Recommender, settings: PruneLayers) -> tuple[str, str]:
    """What the model's layers are named by, and the setting of their number; refused where none can go."""
    kind, shape = recommender.model.kind, recommender.model.settings
    if kind not in STACKS or getattr(shape, "form", "") == "caser":
        raise SettingsError(
            f"prune_layers: a model of kind {kind} has no stack of layers; it is for {', '.join(STACKS)} (dilated)"
        )
    count = _count(recommender)
    if count <= settings.keep:
        raise SettingsError(f"prune_layers: keep is {settings.keep}, and the {kind} has {count}; keep fewer")
    return STACKS[kind]


def _count(recommender: Recommender) -> int:
    count: int = getattr(recommender.model.settings, STACKS[recommender.model.kind][1])
    return count


def _candidates(recommender: Recommender, count: int) -> range:
    shape: Any = recommender.model.settings
    if recommender.model.kind == "cnn":
        return range(count - 1, count)
    first_differs = recommender.model.kind == "gru" and shape.hidden not in (None, shape.width)
    return range(1 if first_differs else 0, count)  # a GRU's first layer alone reads items


def without_layer(state: State, shape: Settings, stack: str, setting: str, at: int) -> tuple[State, Settings, int]:
    """State and settings of the model without one of its layers, and which that was."""
    place = re.compile(rf"{stack}\.(\d+)\.(.+)")
    changed: State = {}
    for name, array in state.items():
        found = place.fullmatch(name)
        if found is None:
            changed[name] = array
        elif int(found[1]) != at:
            changed[f"{stack}.{int(found[1]) - (int(found[1]) > at)}.{found[2]}"] = array
    values = shape.model_dump()
    lists = {name: values[name] for name in _PER_BLOCK if values.get(name) is not None}
    shorter = {name: (*list_[:at], *list_[at + 1 :]) for name, list_ in lists.items()}
    return changed, shape.with_changes(**{setting: values[setting] - 1}, **shorter), at
