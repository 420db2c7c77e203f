"""Several teachers as one: at each position those that speak of it are averaged by their weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from distilrec.errors import KnowledgeError, SettingsError
from distilrec.files import sha256_of_value
from distilrec.knowledge.labels import DenseLabels, FactorLabels, Labels, ListLabels, n_rows
from distilrec.knowledge.source import KnowledgeSource
from distilrec.types import Batch, FloatArray, IntArray

_ROUNDING = 1e-6


class SeveralTeachers:
    """The mixture of several sources. They may speak of different positions: where one is silent, the others' shares
    grow, and where only one speaks, it counts in full."""

    def __init__(self, sources: Sequence[KnowledgeSource], weights: Sequence[float]) -> None:
        """`weights` are the sources' shares of the mixture.

        Raises:
            SettingsError: there is not one weight for each source, one is not above 0, or they do not sum to 1.
        """
        given = ", ".join(f"{weight:g}" for weight in weights)
        if not sources or len(sources) != len(weights):
            raise SettingsError(f"{len(sources)} teachers have the weights {given or 'none'}; expected one for each")
        if not all(weight > 0 for weight in weights):
            raise SettingsError(f"the teachers' weights are {given}; expected numbers above 0, so leave a teacher out")
        if abs(sum(weights) - 1) > _ROUNDING:
            raise SettingsError(f"the teachers' weights {given} sum to {sum(weights):g}; expected 1")
        self.sources, self.weights = list(sources), list(weights)

    def digest(self) -> str:
        """Digest of all of them and their weights."""
        return sha256_of_value([[source.digest() for source in self.sources], self.weights])

    def check_belongs(self, *, windows_digest: str, n_items: int) -> None:
        """Refuse if one of them does."""
        for source in self.sources:
            source.check_belongs(windows_digest=windows_digest, n_items=n_items)

    def item_vectors(self) -> FloatArray | None:
        """Of the one with the largest weight that has some."""
        return next((table for source in self._heaviest_first() if (table := source.item_vectors()) is not None), None)

    def user_vectors(self) -> FloatArray | None:
        """Of the one with the largest weight that has some."""
        return next((table for source in self._heaviest_first() if (table := source.user_vectors()) is not None), None)

    def _heaviest_first(self) -> list[KnowledgeSource]:
        return [self.sources[number] for number in np.argsort(-np.array(self.weights), kind="stable")]

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """The parts of all, weighed so that each source has its share at every position that it speaks of."""
        n_positions = int(batch.lengths.sum())
        return [
            replace(part, weight=part.weight * weight)
            for source, weight in zip(self.sources, self.weights, strict=True)
            for part in evened(source.soft_labels(batch), n_positions)
        ]

    def lists(self, batch: Batch) -> ListLabels | None:
        """None: each may have its own, and the mixture's are others."""
        return None

    @property
    def columns(self) -> Collection[str]:
        """All that any of them has."""
        return list(dict.fromkeys(name for source in self.sources for name in source.columns))

    def column_width(self, name: str) -> int:
        """Of the first source that has the column."""
        return self._with(name).column_width(name)

    def column(self, name: str, batch: Batch) -> np.ndarray[Any, Any]:
        """From the first source that has it."""
        return self._with(name).column(name, batch)

    def _with(self, name: str) -> KnowledgeSource:
        found = next((source for source in self.sources if name in source.columns), None)
        if found is None:
            raise KnowledgeError(f"none of the {len(self.sources)} teachers has {name}; {_told(self.columns)}")
        return found


def _told(names: Collection[str], most: int = 12) -> str:
    listed = ", ".join(list(names)[:most])
    return f"they have {listed}{' ...' if len(names) > most else ''}" if names else "they have no columns"


def evened(parts: Sequence[Labels], n_positions: int) -> list[Labels]:
    """The same mixture with weights that sum to 1 at every position that a part speaks of.

    A part is cut into several where others speak of some of its positions only.
    """
    totals = np.zeros(n_positions)
    speaking = [_speaking(part, n_positions) for part in parts]
    for part, rows in zip(parts, speaking, strict=True):
        totals[rows] += part.weight
    return [
        replace(_taken(part, chosen, n_positions), weight=part.weight / float(total))
        for part, rows in zip(parts, speaking, strict=True)
        for total in np.unique(totals[rows])
        for chosen in [rows[totals[rows] == total]]
    ]


def _speaking(part: Labels, n_positions: int) -> IntArray:
    """The positions that a part speaks of: not those with an empty list."""
    rows = np.arange(n_positions) if part.rows is None else part.rows
    return rows[(part.items >= 0).any(axis=1)] if isinstance(part, ListLabels) else rows


def _taken(part: Labels, positions: IntArray, n_positions: int) -> Labels:
    """What a part says of some of its positions, ascending."""
    if len(positions) == n_rows(part):
        return part
    at = positions if part.rows is None else np.searchsorted(part.rows, positions)
    if isinstance(part, FactorLabels):
        return replace(part, history_vectors=part.history_vectors[at], rows=positions)
    if isinstance(part, DenseLabels):
        return replace(part, logits=part.logits[at], rows=positions)
    return replace(part, items=part.items[at], logits=part.logits[at], log_sums=part.log_sums[at], rows=positions)
