"""Single weights near 0 are left out: stored are the others, and a bit for each place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import Field

from distilrec.compress.retraining import Retraining, needs_training, retrained, score_of
from distilrec.compress.sensitivity import measure_losses, shares_by_sensitivity
from distilrec.compress.steps import packed_of, restored
from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.recommender import Recommender
from distilrec.storage import Packed, Sparse
from distilrec.storage.form import Array
from distilrec.storage.names import is_item_table


class PruneWeights(Settings):
    """Unstructured pruning by magnitude."""

    kind: Literal["prune_weights"] = "prune_weights"
    """Its name."""
    share: float = Field(0.5, gt=0, lt=1)
    """How many of the weights go."""
    scope: Literal["global", "layer", "adaptive"] = "global"
    """What a weight is compared with: all others, those of its own array, of which each loses the same share, or those
    of its own array, which loses more the less sensitive validation shows it to be."""
    of: Literal["all", "table", "layers"] = "all"
    """What is pruned: item table and matrices, or one of them. Vectors, such as biases, are never."""
    rounds: int = Field(1, ge=1)
    """In how many steps; after each the model is trained once more. Early steps take more than late ones."""
    retrain: bool = True
    """Whether it is trained once more at all."""


def prune_weights(recommender: Recommender, settings: PruneWeights, training: Retraining | None) -> Recommender:
    """The same model with its smallest weights 0, stored without them (Han et al., NIPS 2015).

    With several rounds the share grows as 1 - (1 - t)^3 (Zhu and Gupta 2017), and what is pruned stays 0 while the rest
    is trained. It pays in bytes only, no product gets faster; an array that would not get smaller stays as it is.

    Raises:
        SettingsError: there is nothing to prune, an array is quantised already, or there is nothing to train with.
    """
    names = _prunable(recommender, settings)
    wanted, needed = None, training
    if settings.retrain or settings.scope == "adaptive":
        needed = needs_training(recommender, settings, training)
        wanted = needed if settings.retrain else None
    current = recommender
    for turn in range(1, settings.rounds + 1):
        share = settings.share * (1 - (1 - turn / settings.rounds) ** 3)
        packed = _pruned(current, names, share, settings, needed)
        current = retrained(restored(recommender, packed, done=settings), wanted)
    return current


def _prunable(recommender: Recommender, settings: PruneWeights) -> list[str]:
    """The names of the arrays, refused where one is stored in a form that pruning would undo."""
    packed = packed_of(recommender)
    wanted = {"all": (True, False), "table": (True,), "layers": (False,)}[settings.of]
    names = []
    for name in packed.names():
        array, held = packed.array(name), packed.forms.get(name)
        if array.ndim < 2 or array.dtype.kind != "f" or is_item_table(name) not in wanted:
            continue
        if held is None or held == Sparse():
            names.append(name)
        elif held.form != "alias":
            raise SettingsError(
                f"prune_weights: {name} is stored as {held.form} already, which has no weights of its own to leave "
                "out; prune before that, or leave it out by `of`"
            )
    if not names:
        raise SettingsError(f"prune_weights: a model of kind {recommender.model.kind} has no {settings.of} to prune")
    if settings.rounds > 1 and not settings.retrain:
        raise SettingsError(f"prune_weights: {settings.rounds} rounds make sense with retrain alone")
    return names


def _pruned(
    recommender: Recommender, names: list[str], share: float, settings: PruneWeights, training: Retraining | None
) -> Packed:
    packed = packed_of(recommender)
    arrays = {name: packed.array(name) for name in names}
    if settings.scope == "global":
        sparse = _smallest_out(arrays, share)
    else:
        shares = dict.fromkeys(names, share)
        if settings.scope == "adaptive":
            assert training is not None
            shares = _shares(recommender, arrays, share, training)
        sparse = {name: _smallest_out({name: array}, shares[name])[name] for name, array in arrays.items()}
    for name, array in sparse.items():
        parts = Sparse().encode(array)
        if sum(part.nbytes for part in parts.values()) < array.nbytes:
            packed = packed.replacing(name, Sparse(), parts)
    return packed


def _shares(
    recommender: Recommender, arrays: Mapping[str, Array], share: float, training: Retraining
) -> dict[str, float]:
    state = packed_of(recommender).state()

    def score_without(name: str, level: float) -> float:
        return score_of(recommender, {**state, **_smallest_out({name: arrays[name]}, level)}, training)

    sizes = {name: array.size for name, array in arrays.items()}
    return shares_by_sensitivity(
        sizes, measure_losses(sizes, score_without, score_of(recommender, state, training)), share
    )


def _smallest_out(arrays: Mapping[str, Array], share: float) -> dict[str, Array]:
    """Copies in which a share of all numbers, those nearest to 0, are 0; of equally near ones the first."""
    sizes = np.abs(np.concatenate([array.ravel() for array in arrays.values()]))
    gone = np.zeros(len(sizes), dtype=bool)
    gone[np.argsort(sizes, kind="stable")[: round(share * len(sizes))]] = True
    ends = np.cumsum([array.size for array in arrays.values()])[:-1]
    flags = np.split(gone, ends)
    return {
        name: np.where(flag.reshape(array.shape), np.float32(0), array)
        for (name, array), flag in zip(arrays.items(), flags, strict=True)
    }
