"""What models made of plain arrays refuse: sequences of another catalogue, and state that is not theirs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import ArtifactError, DataError
from distilrec.types import Ragged

State = Mapping[str, NDArray[np.generic]]


def check_sequences(sequences: Ragged, n_items: int) -> None:
    """Refuse items outside the catalogue, and nothing to learn from."""
    if not len(sequences.values):
        raise DataError("there are no interactions to learn from; expected at least one")
    lowest, highest = int(sequences.values.min()), int(sequences.values.max())
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
