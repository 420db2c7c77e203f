"""Shallower models without a word asked of data: every other block of a teacher, so that it answers sooner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from distilrec.compress.prune_layers import STACKS
from distilrec.compress.retraining import Retraining
from distilrec.compress.steps import reshaped
from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.models.pretrained import FAMILIES
from distilrec.recommender import Recommender

_BODIES = ("item_language_model", "text_language_model")
_DEPTHS = ("num_hidden_layers", "n_layers", "n_layer", "num_layers")  # as families of language models call it
_PER_BLOCK = ("feedforward_widths", "block_heads", "layer_types")


class DropLayers(Settings):
    """Blocks of a transformer, or of a language model's body, of which evenly spaced ones stay."""

    kind: Literal["drop_layers"] = "drop_layers"
    """Its name."""
    keep: int = Field(1, ge=1)
    """How many stay: the first always, then evenly spaced ones up to the last."""


def drop_layers(recommender: Recommender, settings: DropLayers, training: Retraining | None = None) -> Recommender:
    """The same model with some of its blocks left out, unmeasured and untrained, as DistilBERT starts.

    For teachers: knowledge is then cheaper to take out, by about the share of their time that the blocks had. What they
    know suffers (Sanh et al. 2019), so look at their score; `prune_layers` is better for students. The first block
    stays, since T5's holds the positions of all.

    Raises:
        SettingsError: the model has no blocks that could go, or no more than are to stay.
    """
    model = recommender.model
    stack, count = _stack(recommender)
    if count <= settings.keep:
        raise SettingsError(
            f"drop_layers: keep is {settings.keep}, and the {model.kind} has {count} blocks; keep fewer"
        )
    kept = [int(at) for at in np.linspace(0, count - 1, settings.keep).round()]
    place = re.compile(rf"{re.escape(stack)}\.(\d+)\.(.+)")
    state = {}
    for name, array in model.state().items():
        found = place.fullmatch(name)
        if found is None:
            state[name] = array
        elif int(found[1]) in kept:
            state[f"{stack}.{kept.index(int(found[1]))}.{found[2]}"] = array
    return reshaped(recommender, state, _shallower(recommender, kept), done=settings, facts={"kept": kept})


def _stack(recommender: Recommender) -> tuple[str, int]:
    """What the names of the blocks' arrays begin with, and how many blocks there are."""
    kind, shape = recommender.model.kind, recommender.model.settings
    if kind in _BODIES:
        config: dict[str, Any] = shape.body_config  # type: ignore[attr-defined]
        return f"body.model.{FAMILIES[config['model_type']].blocks}", int(config[_depth(config)])
    if kind in ("transformer", "linear_recurrence"):
        stack, setting = STACKS[kind]
        return stack, int(getattr(shape, setting))
    raise SettingsError(
        f"drop_layers: a model of kind {kind} has no stack of blocks that read one another's output alone; it is for "
        f"transformer, linear_recurrence, {', '.join(_BODIES)}"
    )


def _shallower(recommender: Recommender, kept: list[int]) -> Settings:
    shape = recommender.model.settings
    if recommender.model.kind not in _BODIES:
        return shape.with_changes(blocks=len(kept), **_shorter(shape.model_dump(), kept))
    config: dict[str, Any] = shape.body_config  # type: ignore[attr-defined]
    return shape.with_changes(body_config={**config, _depth(config): len(kept), **_shorter(config, kept)})


def _depth(config: Mapping[str, Any]) -> str:
    return next(name for name in _DEPTHS if name in config)


def _shorter(values: Mapping[str, Any], kept: list[int]) -> dict[str, Any]:
    """What is said for each block, for those that stay."""
    return {name: [values[name][at] for at in kept] for name in _PER_BLOCK if values.get(name)}
