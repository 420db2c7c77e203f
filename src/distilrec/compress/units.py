"""Hidden units and attention heads: which arrays make them and which read them, and a model without some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from distilrec.config import Settings
from distilrec.storage.form import Array
from distilrec.types import FloatArray, IntArray

State = dict[str, Array]


@dataclass(frozen=True)
class Units:
    """The units between two layers: what makes them has them in its rows, what reads them in its columns."""

    size: int
    """How many there are."""
    made: tuple[str, ...]
    """Arrays of which `times` runs of rows, and each run `span` rows a unit, belong to the units."""
    read: tuple[str, ...]
    """Matrices of which `span` columns a unit belong to the units."""
    times: int = 1
    """Three for queries, keys and values side by side, and for the gates of a GRU."""
    span: int = 1
    """Numbers of a unit: the width of a head."""
    setting: str = ""
    """The setting that says how many there are."""
    counted: tuple[str, ...] = field(default=())
    """Of `read`, those by which a unit's weight is judged; none means all."""


def hidden_units(kind: str, state: Mapping[str, Array]) -> dict[str, Units]:
    """The hidden layers of a student by name, such as `blocks.0.feedforward`; none where a kind has no such layers."""
    if kind in ("transformer", "linear_recurrence"):
        return {**_states(state), **_feedforward(state)}
    if kind == "two_tower":
        made, read = ("history_in.weight", "history_in.bias"), ("history_out.weight",)
        return {"history": Units(len(state["history_in.bias"]), made, read, setting="hidden")}
    return _recurrent(state) if kind == "gru" else {}


def _feedforward(state: Mapping[str, Array]) -> dict[str, Units]:
    found = {}
    for block in _blocks(state, "feedforward_in.bias"):
        made = (f"{block}.feedforward_in.weight", f"{block}.feedforward_in.bias")
        read = (f"{block}.feedforward_out.weight",)
        found[f"{block}.feedforward"] = Units(len(state[made[1]]), made, read, setting="feedforward_widths")
    return found


def _states(state: Mapping[str, Array]) -> dict[str, Units]:
    found = {}
    for block in _blocks(state, "gate.bias"):
        made = tuple(f"{block}.{layer}.{part}" for layer in ("value", "gate") for part in ("weight", "bias"))
        read = (f"{block}.recurrence_out.weight",)
        found[f"{block}.state"] = Units(len(state[f"{block}.gate.bias"]), made, read, setting="state")
    return found


def _recurrent(state: Mapping[str, Array]) -> dict[str, Units]:
    cells = _blocks(state, "cell.bias_hh_l0")
    found = {}
    for n, layer in enumerate(cells):
        hidden = state[f"{layer}.cell.weight_hh_l0"].shape[1]
        made = tuple(f"{layer}.cell.{part}_l0" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        after = f"{cells[n + 1]}.cell.weight_ih_l0" if n + 1 < len(cells) else "out.weight"
        times = len(state[made[2]]) // hidden
        read = (f"{layer}.cell.weight_hh_l0", after)
        found[layer] = Units(hidden, made, read, times, setting="hidden", counted=(after,))
    return found


def attention_heads(state: Mapping[str, Array], width_of_head: int) -> dict[str, Units]:
    """The heads of each block's attention, by the block's name; HSTU's, which one norm joins, are not told apart."""
    found = {}
    for block in _blocks(state, "query_key_value.bias"):
        made = (f"{block}.query_key_value.weight", f"{block}.query_key_value.bias")
        size = len(state[made[1]]) // (3 * width_of_head)
        read = (f"{block}.attention_out.weight",)
        found[block] = Units(size, made, read, times=3, span=width_of_head, setting="block_heads")
    return found


def _blocks(state: Mapping[str, Array], inside: str) -> list[str]:
    """The names of the blocks that have an array of a name, first to last."""
    found = {name.removesuffix(f".{inside}") for name in state if name.endswith(f".{inside}")}
    return sorted(found, key=lambda name: int(name.rpartition(".")[2]))


def with_way_out(kind: str, state: State, settings: Settings) -> tuple[State, Settings]:
    """A GRU whose layers are as wide as its vectors has no matrix after them; one that changes nothing is put there."""
    if kind != "gru" or "out.weight" in state:
        return state, settings
    width: int = settings.width  # type: ignore[attr-defined]
    out = {"out.weight": np.eye(width, dtype=np.float32), "out.bias": np.zeros(width, dtype=np.float32)}
    return {**state, **out}, settings.with_changes(hidden=width)


def keep(state: Mapping[str, Array], units: Units, kept: Sequence[int] | IntArray) -> State:
    """The state with only some of the units, in their order."""
    rows = np.sort(np.asarray(kept))
    changed = dict(state)
    for name in units.made:
        array = changed[name]
        runs = array.reshape(units.times, units.size, units.span, *array.shape[1:])
        changed[name] = runs[:, rows].reshape(-1, *array.shape[1:])
    for name in units.read:
        array = changed[name]
        changed[name] = array.reshape(len(array), units.size, units.span)[:, rows].reshape(len(array), -1)
    return changed


def silenced(state: Mapping[str, Array], units: Units, silent: Sequence[int] | IntArray) -> State:
    """The state in its old shape, in which nobody reads some of the units: what it is without them."""
    changed = dict(state)
    for name in units.counted or units.read:
        array = changed[name].reshape(len(changed[name]), units.size, units.span).copy()
        array[:, np.asarray(silent)] = 0
        changed[name] = array.reshape(len(array), -1)
    return changed


def weights_of(state: Mapping[str, Array], units: Units) -> FloatArray:
    """How much each unit can do, [size]: the length of what makes it times the length of what reads it."""
    made = np.zeros(units.size)
    for name in units.made:
        rows = state[name].reshape(units.times, units.size, -1)
        made += np.einsum("tui,tui->u", rows, rows)
    read = np.zeros(units.size)
    for name in units.counted or units.read:
        columns = state[name].reshape(len(state[name]), units.size, units.span)
        read += np.einsum("ous,ous->u", columns, columns)
    weights: FloatArray = np.sqrt(made * read).astype(np.float32)
    return weights
