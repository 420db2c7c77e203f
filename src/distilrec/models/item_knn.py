"""Item-kNN: an item is recommended to those who used its neighbours. Needs no training, and is hard to beat.

Sarwar et al., WWW 2001; Deshpande and Karypis, TOIS 2004.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from distilrec.config import Settings
from distilrec.errors import ArtifactError
from distilrec.models.checks import State, check_sequences, check_state
from distilrec.models.cooccurrence import cooccurrence_blocks, users_of_items
from distilrec.types import Batch, FloatArray, IntArray, Ragged, ranges


class ItemKNNSettings(Settings):
    """How neighbours are chosen and how a history is read."""

    neighbours: int = Field(default=200, ge=1)
    """How many most similar items each item keeps."""
    shrinkage: float = Field(default=20.0, ge=0)
    """Added below the fraction of the cosine: pairs with few common users count less."""
    recency_half_life: float | None = Field(default=1.0, gt=0)
    """After how many newer items an item of the history counts half; with None, all count the same."""


@dataclass(frozen=True, eq=False)
class ItemKNN:
    """Cosine between items over users. Neighbours of item i: `offsets[i]:offsets[i + 1]`, most similar first."""

    kind: ClassVar[str] = "item_knn"
    settings: ItemKNNSettings
    neighbours: NDArray[np.int32]  # [pairs]
    similarities: FloatArray  # [pairs]
    offsets: IntArray  # [N + 1]

    @classmethod
    def fit(cls, sequences: Ragged, *, n_items: int, settings: ItemKNNSettings | None = None) -> Self:
        """Find the neighbours of every item; an item used twice by a user counts once."""
        settings = settings or ItemKNNSettings()
        check_sequences(sequences, n_items)
        norms = np.sqrt(users_of_items(sequences, n_items)).astype(np.float32)
        columns, numbers = [], []
        for rows, common in cooccurrence_blocks(sequences, n_items):
            for item in range(rows.start, rows.stop):
                begin, end = common.indptr[item - rows.start : item - rows.start + 2]
                others, counts = common.indices[begin:end], common.data[begin:end]
                cosines = counts / (norms[item] * norms[others] + settings.shrinkage)
                nearest = _nearest(others, cosines, item, settings.neighbours)
                columns.append(others[nearest].astype(np.int32))
                numbers.append(cosines[nearest])
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
        return cls(settings, np.concatenate(columns), np.concatenate(numbers), offsets)

    @property
    def n_items(self) -> int:
        """How many items the catalogue has."""
        return len(self.offsets) - 1

    @property
    def n_parameters(self) -> int:
        """One similarity for each pair kept; the neighbours' row numbers cost as many bytes again."""
        return len(self.similarities)

    def scores(self, batch: Batch) -> FloatArray:
        """The sum of the similarities to the history's items, each counted once, [B, N]; zeros without history."""
        scores = np.zeros((len(batch), self.n_items), dtype=np.float32)
        for case, length in enumerate(batch.lengths):
            items, weights = self._weighted(batch.items[case, :length])
            counts = self.offsets[items + 1] - self.offsets[items]
            pairs = ranges(self.offsets[items], counts)
            weighted = self.similarities[pairs] * np.repeat(weights, counts)
            scores[case] = np.bincount(self.neighbours[pairs], weights=weighted, minlength=self.n_items)
        return scores

    def position_scores(self, batch: Batch) -> FloatArray:
        """The scores after each real position of each history, [P, N]: what `scores` gives its beginnings.

        Each position is the one before, a step older, plus its own item, less what that item still counted there.
        """
        half_life = self.settings.recency_half_life
        fade = 1.0 if half_life is None else 0.5 ** (1 / half_life)
        scores = np.empty((int(batch.lengths.sum()), self.n_items), dtype=np.float32)
        row = 0
        for case, length in enumerate(batch.lengths):
            last_use: dict[int, int] = {}
            now = np.zeros(self.n_items, dtype=np.float32)
            for at, item in enumerate(batch.items[case, :length].tolist()):
                now *= np.float32(fade)
                counted = fade ** (at - last_use[item]) if item in last_use else 0.0
                pairs = slice(self.offsets[item], self.offsets[item + 1])
                now[self.neighbours[pairs]] += np.float32(1 - counted) * self.similarities[pairs]
                last_use[item] = at
                scores[row] = now
                row += 1
        return scores

    def _weighted(self, history: IntArray) -> tuple[IntArray, FloatArray]:
        """The different items of a history and their weights; a repeated item is as old as its last use."""
        items, ages = np.unique(history[::-1], return_index=True)
        half_life = self.settings.recency_half_life
        weights = np.ones(len(items)) if half_life is None else 0.5 ** (ages / half_life)
        return items, weights.astype(np.float32)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The pairs and where each item's begin."""
        return {"neighbours": self.neighbours, "similarities": self.similarities, "offsets": self.offsets}

    @classmethod
    def from_state(cls, settings: ItemKNNSettings, state: State) -> Self:
        """The model whose `state` this was."""
        check_state(cls.kind, state, {"neighbours": 1, "similarities": 1, "offsets": 1})
        neighbours, offsets = state["neighbours"].astype(np.int32), state["offsets"].astype(np.int64)
        similarities = state["similarities"].astype(np.float32)
        _check_pairs(neighbours, similarities, offsets)
        return cls(settings, neighbours, similarities, offsets)


def _nearest(others: IntArray, cosines: FloatArray, item: int, k: int) -> IntArray:
    """Which k of the others are most similar, most similar first, ties by row number; never the item itself."""
    best_first = np.argsort(-cosines, kind="stable")
    nearest: IntArray = best_first[others[best_first] != item][:k]
    return nearest


def _check_pairs(neighbours: NDArray[np.int32], similarities: FloatArray, offsets: IntArray) -> None:
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(neighbours) or (np.diff(offsets) < 0).any():
        raise ArtifactError("item_knn: offsets do not cut the pairs into items; the file is damaged")
    if len(similarities) != len(neighbours):
        raise ArtifactError(
            f"item_knn: there are {len(neighbours)} neighbours and {len(similarities)} similarities; expected as many"
        )
    if len(neighbours) and not 0 <= neighbours.min() <= neighbours.max() < len(offsets) - 1:
        raise ArtifactError(f"item_knn: a neighbour is outside the catalogue of {len(offsets) - 1} items")
