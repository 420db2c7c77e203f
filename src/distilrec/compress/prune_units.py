"""Smaller layers: hidden units and attention heads that matter least are left out, and the model is really smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from distilrec.compress.retraining import (
    Retraining,
    needs_student,
    needs_training,
    retrained,
    score_of,
    wanted_training,
)
from distilrec.compress.sensitivity import measure_losses, shares_by_sensitivity
from distilrec.compress.steps import reshaped
from distilrec.compress.units import (
    State,
    Units,
    attention_heads,
    hidden_units,
    keep,
    silenced,
    weights_of,
    with_way_out,
)
from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.recommender import Recommender
from distilrec.types import IntArray

_ALIKE = ("hidden", "state")
"""Settings that are one number for all layers, so that these lose alike."""


class PruneUnits(Settings):
    """Hidden units: of feed-forward layers, of a tower, of a recurrence's state."""

    kind: Literal["prune_units"] = "prune_units"
    """Its name."""
    share: float = Field(0.5, gt=0, lt=1)
    """How many of all units go."""
    adaptive: bool = True
    """Whether layers that validation shows to be less sensitive lose more; otherwise all lose the same share."""
    retrain: bool = True
    """Whether the model is trained once more."""


class PruneHeads(Settings):
    """Attention heads, each judged by what validation loses without it."""

    kind: Literal["prune_heads"] = "prune_heads"
    """Its name."""
    share: float = Field(0.5, gt=0, lt=1)
    """How many of all heads go; each block keeps one at least."""
    retrain: bool = True
    """Whether the model is trained once more."""


def prune_units(recommender: Recommender, settings: PruneUnits, training: Retraining | None) -> Recommender:
    """A model of the same kind with fewer hidden units: those that are made and read with the smallest weights go.

    Raises:
        SettingsError: its kind has no hidden units, or there is nothing to measure or train with.
    """
    needs_student(recommender, settings)
    model = recommender.model
    state, shape = with_way_out(model.kind, model.state(), model.settings)
    layers = hidden_units(model.kind, state)
    if not layers:
        raise SettingsError(
            f"prune_units: a {_form_of(model.kind, model.settings)} has no hidden units between two of its layers; "
            "prune_width or prune_layers make it smaller"
        )
    shares = dict.fromkeys(layers, settings.share)
    free = {name: units for name, units in layers.items() if units.setting not in _ALIKE}
    if settings.adaptive and len(free) > 1:
        shares |= _shares(recommender, state, free, settings, needs_training(recommender, settings, training))
    kept = {}
    for name, units in layers.items():
        count = max(1, units.size - round(shares[name] * units.size))
        kept[name] = np.argsort(-weights_of(state, units), kind="stable")[:count]
    return _without(recommender, state, shape, layers, kept, settings, training)


def prune_heads(recommender: Recommender, settings: PruneHeads, training: Retraining | None) -> Recommender:
    """A transformer with fewer attention heads: those go without which validation loses least.

    Raises:
        SettingsError: it has none that could go, or there is nothing to measure with.
    """
    needs_student(recommender, settings)
    model = recommender.model
    state = model.state()
    heads = getattr(model.settings, "heads", None)
    blocks = attention_heads(state, model.settings.width // heads) if heads else {}  # type: ignore[attr-defined]
    total = sum(units.size for units in blocks.values())
    if total <= len(blocks):
        told = "one head in each block" if blocks else "no attention heads that could be told apart"
        raise SettingsError(f"prune_heads: a {_form_of(model.kind, model.settings)} with {told} has none to lose")
    needed = needs_training(recommender, settings, training)
    scores = {
        (name, head): score_of(recommender, silenced(state, units, [head]), needed)
        for name, units in blocks.items()
        for head in range(units.size)
    }
    left = {name: list(range(units.size)) for name, units in blocks.items()}
    going = round(settings.share * total)
    for name, head in sorted(scores, key=lambda at: -scores[at]):  # the best score without it first
        if going and len(left[name]) > 1:
            left[name].remove(head)
            going -= 1
    kept = {name: np.array(rows) for name, rows in left.items()}
    return _without(recommender, state, model.settings, blocks, kept, settings, training)


def _shares(
    recommender: Recommender, state: State, layers: Mapping[str, Units], settings: PruneUnits, training: Retraining
) -> dict[str, float]:
    sizes = {name: units.size for name, units in layers.items()}
    order = {name: np.argsort(weights_of(state, units), kind="stable") for name, units in layers.items()}

    def score_without(name: str, level: float) -> float:
        gone = order[name][: round(level * sizes[name])]
        return score_of(recommender, silenced(state, layers[name], gone), training)

    losses = measure_losses(sizes, score_without, training.validate(recommender.model))  # type: ignore[arg-type]
    return shares_by_sensitivity(sizes, losses, settings.share)


def _without(
    recommender: Recommender,
    state: State,
    shape: Settings,
    layers: Mapping[str, Units],
    kept: Mapping[str, IntArray],
    settings: PruneUnits | PruneHeads,
    training: Retraining | None,
) -> Recommender:
    """The model with the units that are kept, trained once more where that is wanted."""
    counts: dict[str, list[int]] = {}
    for name, units in layers.items():
        state = keep(state, units, kept[name])
        counts.setdefault(units.setting, []).append(len(kept[name]))
    facts = {"kept": {name: len(rows) for name, rows in kept.items()}}
    small = reshaped(recommender, state, shape.with_changes(**changed_settings(counts)), done=settings, facts=facts)
    return retrained(small, wanted_training(recommender, settings, training))


def changed_settings(counts: Mapping[str, Sequence[int]]) -> dict[str, int | tuple[int, ...]]:
    """What settings say of the units that are left in each layer, by setting."""
    return {name: found[0] if name in _ALIKE else tuple(found) for name, found in counts.items()}


def _form_of(kind: str, settings: Settings) -> str:
    form = getattr(settings, "block", getattr(settings, "form", ""))
    return f"{kind} ({form})" if form else kind
