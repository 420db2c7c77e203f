"""Narrower vectors: all layers see the directions in which the item table is largest, and no others."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from distilrec.compress.prune_units import changed_settings
from distilrec.compress.retraining import Retraining, retrained, wanted_training
from distilrec.compress.steps import reshaped
from distilrec.compress.units import State, hidden_units, keep, weights_of, with_way_out
from distilrec.config import Settings
from distilrec.distil.weights import map_layers
from distilrec.errors import SettingsError
from distilrec.models.students import build_student
from distilrec.recommender import Recommender
from distilrec.storage.form import Array
from distilrec.types import FloatArray


class PruneWidth(Settings):
    """The width of item and history vectors, and of all layers alike."""

    kind: Literal["prune_width"] = "prune_width"
    """Its name."""
    width: int = Field(32, ge=2)
    """The new width, less than the old one."""
    retrain: bool = True
    """Whether the model is trained once more; without that it is only near to what it was."""


def prune_width(recommender: Recommender, settings: PruneWidth, training: Retraining | None) -> Recommender:
    """A model of the same kind with narrower vectors.

    The table keeps its principal directions, not centred, since histories are read by it; the body sees them alone, as
    in `distil.weights.map_layers`; of hidden layers the same share of units stays, those with the largest weights. Of
    `linear` and `matrix_factorisation` the products of both tables keep their largest singular values.

    Raises:
        SettingsError: the width is not smaller, does not fit the heads, or there is nothing to train with.
    """
    wanted = wanted_training(recommender, settings, training)
    kind, shape = recommender.model.kind, recommender.model.settings
    before = int(shape.width)  # type: ignore[attr-defined]
    _check(kind, shape, settings.width, before)
    state = recommender.model.state()
    if "inputs.weight" in state or kind == "matrix_factorisation":
        narrow, smaller = _narrower_factors(state, shape, settings.width)
    else:
        narrow, smaller = _narrower_body(kind, state, shape, settings.width)
    return retrained(reshaped(recommender, narrow, smaller, done=settings), wanted)


def _check(kind: str, shape: Any, width: int, before: int) -> None:  # noqa: ANN401  (the kind's own settings)
    if width >= before:
        raise SettingsError(f"prune_width: width is {width}, and the {kind} has {before}; choose a smaller one")
    heads = getattr(shape, "heads", 1)
    if width % heads:
        raise SettingsError(f"prune_width: width {width} does not divide by the {heads} heads; choose one that does")
    if getattr(shape, "block_heads", None):
        raise SettingsError("prune_width: heads were pruned, whose width would change; prune the width before heads")
    if width - 1 < getattr(shape, "decays", 1):
        raise SettingsError(f"prune_width: width {width} leaves less than a factor for each of {shape.decays} decays")


def _narrower_body(kind: str, state: State, shape: Settings, width: int) -> tuple[State, Settings]:
    state, shape = with_way_out(kind, state, shape)
    share, counts = width / state["table.weight"].shape[1], dict[str, list[int]]()
    for units in hidden_units(kind, state).values():
        count = max(1, round(share * units.size))
        state = keep(state, units, np.argsort(-weights_of(state, units), kind="stable")[:count])
        counts.setdefault(units.setting, []).append(count)
    smaller = shape.with_changes(width=width, **changed_settings(counts))
    directions = _largest_directions(state["table.weight"], width)  # [D, width]
    narrow: State = {"table.weight": state["table.weight"] @ directions}
    if kind == "lightgcn":  # it has no layers but a projection, and is not made without a graph
        if "projection.weight" in state:
            narrow["projection.weight"] = directions.T @ state["projection.weight"] @ directions
        return narrow, smaller
    student = build_student(smaller, len(state["table.weight"]))
    parts = {name.partition(".")[0] for name in state} - {"table"}
    mapped = map_layers(student, state, {part: part for part in parts}, directions=directions)
    return {**narrow, **{name: value.numpy() for name, value in mapped.items()}}, smaller


def _largest_directions(table: Array, width: int) -> FloatArray:
    """The orthonormal directions, [D, width], along which the rows of a table are longest."""
    axes = np.linalg.eigh(table.T.astype(np.float64) @ table)[1]  # ascending
    return axes[:, ::-1][:, :width].astype(np.float32)


def _narrower_factors(state: State, shape: Settings, width: int) -> tuple[State, Settings]:
    """Tables of factors, and a bias in the last column of the first."""
    table = state["table.weight"]
    smaller = shape.with_changes(width=width)
    if "inputs.weight" not in state:
        factors = table[:, :-1] @ _largest_directions(table[:, :-1], width - 1)
        return {**state, "table.weight": np.concatenate([factors, table[:, -1:]], axis=1)}, smaller
    parts = getattr(shape, "decays", 1)
    before, after = (np.array_split(np.arange(size - 1), parts) for size in (table.shape[1], width))
    inputs, outputs = [], []
    for columns, wanted in zip(before, after, strict=True):
        into, out = _thinner(state["inputs.weight"][:, columns], table[:, columns], len(wanted))
        inputs.append(into)
        outputs.append(out)
    tables = {
        "inputs.weight": np.concatenate(inputs, axis=1),
        "table.weight": np.concatenate([*outputs, table[:, -1:]], axis=1),
    }
    return {**state, **tables}, smaller


def _thinner(left: Array, right: Array, rank: int) -> tuple[FloatArray, FloatArray]:
    """Factors of fewer columns whose product is nearest to that of the two."""
    q_left, r_left = np.linalg.qr(left)
    q_right, r_right = np.linalg.qr(right)
    first, values, second = np.linalg.svd(r_left @ r_right.T)
    roots = np.sqrt(values[:rank])
    return (q_left @ first[:, :rank] * roots).astype(np.float32), (q_right @ second[:rank].T * roots).astype(np.float32)
