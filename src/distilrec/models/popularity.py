"""Popularity: the same ranking for everybody. The floor that any personal model must clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from distilrec.config import Settings
from distilrec.errors import ArtifactError
from distilrec.models.checks import State, check_sequences, check_state
from distilrec.types import Batch, FloatArray, IntArray, Ragged


class PopularitySettings(Settings):
    """Nothing to choose."""


@dataclass(frozen=True, eq=False)
class Popularity:
    """Scores an item by the logarithm of how often it was used; the logarithm keeps float32 exact enough to rank."""

    kind: ClassVar[str] = "popularity"
    settings: PopularitySettings
    counts: IntArray  # [N]

    @classmethod
    def fit(cls, sequences: Ragged, *, n_items: int, settings: PopularitySettings | None = None) -> Self:
        """Count every use; a user who came back to an item counts each time."""
        check_sequences(sequences, n_items)
        return cls(settings or PopularitySettings(), np.bincount(sequences.values, minlength=n_items))

    @property
    def n_items(self) -> int:
        """How many items the catalogue has."""
        return len(self.counts)

    @property
    def n_parameters(self) -> int:
        """One count per item."""
        return len(self.counts)

    def scores(self, batch: Batch) -> FloatArray:
        """log(1 + count), whatever the history, [B, N]."""
        return np.tile(np.log1p(self.counts).astype(np.float32), (len(batch), 1))

    def state(self) -> dict[str, IntArray]:
        """The counts."""
        return {"counts": self.counts}

    @classmethod
    def from_state(cls, settings: PopularitySettings, state: State) -> Self:
        """The model whose `state` this was."""
        check_state(cls.kind, state, {"counts": 1})
        counts = state["counts"].astype(np.int64)
        if (counts < 0).any():
            raise ArtifactError(f"{cls.kind}: counts has a negative number; the file is damaged")
        return cls(settings, counts)
