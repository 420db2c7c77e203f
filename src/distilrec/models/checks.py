"""What models refuse: sequences and batches of another catalogue, and state that is not theirs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from distilrec.config import Settings
from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.types import Batch, IntArray, Ragged

State = Mapping[str, NDArray[np.generic]]


def check_sequences(sequences: Ragged, n_items: int) -> None:
    """Refuse items outside the catalogue, and nothing to learn from."""
    if not len(sequences.values):
        raise DataError("there are no interactions to learn from; expected at least one")
    _check_rows(sequences.values, n_items)


def check_batch(batch: Batch, n_items: int, max_length: int | None = None) -> None:
    """Refuse items outside the catalogue, and histories longer than a model reads."""
    if max_length is not None and batch.items.shape[1] > max_length:
        raise SettingsError(f"histories have {batch.items.shape[1]} positions; expected at most {max_length}")
    _check_rows(batch.items, n_items)


def check_next(items: IntArray, n_states: int, n_items: int) -> None:
    """Refuse next items, [B], that are not one for each state, or outside the catalogue."""
    if items.shape != (n_states,):
        raise DataError(f"next items have shape {items.shape}; expected ({n_states},), one for each state")
    _check_rows(items, n_items)


def check_per_block(settings: Settings, blocks: int) -> None:
    """Refuse settings that say a number for each block, but for other blocks than there are, or below 1."""
    for name in ("feedforward_widths", "block_heads"):
        found = getattr(settings, name, None)
        if found is not None and (len(found) != blocks or min(found, default=0) < 1):
            raise SettingsError(f"{name} is {found}; expected a number from 1 for each of {blocks} blocks, or none")


def _check_rows(items: IntArray, n_items: int) -> None:
    lowest, highest = int(items.min(initial=0)), int(items.max(initial=0))
    if lowest < 0 or highest >= n_items:
        wrong = lowest if lowest < 0 else highest
        raise DataError(f"item {wrong} is outside the catalogue of {n_items} items (rows 0 to {n_items - 1})")


def check_state(kind: str, state: State, expected: Mapping[str, int]) -> None:
    """Refuse state whose arrays do not have the expected names and numbers of dimensions, or are not finite."""
    if state.keys() != expected.keys():
        raise ArtifactError(
            f"the state of {kind} holds {', '.join(sorted(state)) or 'nothing'}; expected {', '.join(sorted(expected))}"
        )
    for name, dimensions in expected.items():
        array = state[name]
        if array.ndim != dimensions:
            raise ArtifactError(f"{kind}: {name} has shape {array.shape}; expected {dimensions} dimensions")
        if not np.isfinite(array).all():
            raise ArtifactError(f"{kind}: {name} contains NaN or infinity; the file is damaged")
