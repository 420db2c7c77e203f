"""What a teacher is: anything that gives soft labels for the positions of a batch.

`as_teacher` makes one of every kind of model. Those whose scores are a product say so in factors; the others say a
logit for every item, which nobody keeps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from distilrec.files import sha256_of_arrays, sha256_of_value
from distilrec.knowledge import DenseLabels, FactorLabels, KnowledgeSource, Labels
from distilrec.models.ensemble import Ensemble
from distilrec.models.kinds import Model
from distilrec.types import Batch, FloatArray, Ragged


@runtime_checkable
class ScoresPositions(Protocol):
    """A model that scores what comes after every position at once, faster than history by history."""

    def position_scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each real position of each history, [P, N]."""
        ...


def as_teacher(model: Model, *, device: str | None = None) -> KnowledgeSource:
    """The model as a teacher, asked for every batch as it comes.

    Needs no disk, and costs one forward pass a batch. `device` is a GPU where there is one, unless said otherwise.
    """
    if isinstance(model, Ensemble):
        return MixtureTeacher(model, device=device)
    if isinstance(model, nn.Module):
        return VectorTeacher(model, device=device)
    return ScoreTeacher(model)


class VectorTeacher:
    """A model of product form: history vectors times item vectors."""

    def __init__(self, model: Any, *, device: str | None = None) -> None:  # noqa: ANN401  (a Model and nn.Module)
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.module: nn.Module = model.fold().eval().to(chosen)
        self._digest = digest_of_model(model)
        with torch.inference_mode():
            self._items: FloatArray = np.asarray(self.module.item_vectors().float().cpu().numpy())

    def digest(self) -> str:
        """Digest of the weights."""
        return self._digest

    def item_vectors(self) -> FloatArray:
        """The teacher's item table, [N, D_teacher]."""
        return self._items

    @torch.inference_mode()
    def history_vectors(self, batch: Batch) -> FloatArray:
        """The teacher's vectors for the real positions of a batch, [P, D_teacher]."""
        vectors: FloatArray = self.module(batch)[0].float().cpu().numpy()
        return vectors

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """One part: two factors."""
        return [FactorLabels(self.history_vectors(batch), self._items)]


class ScoreTeacher:
    """A model that only scores: each position costs a score for every item."""

    def __init__(self, model: Model) -> None:
        self._model, self._digest = model, digest_of_model(model)

    def digest(self) -> str:
        """Digest of what it learnt."""
        return self._digest

    def item_vectors(self) -> None:
        """It has none."""

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """One part: every logit."""
        if isinstance(self._model, ScoresPositions):
            return [DenseLabels(self._model.position_scores(batch))]
        limit: int | None = getattr(self._model, "max_length", None)
        return [DenseLabels(self._model.scores(_prefixes(batch, limit)))]


class MixtureTeacher:
    """An ensemble: what its members say, with their weights and temperatures."""

    def __init__(self, ensemble: Ensemble, *, device: str | None = None) -> None:
        self._members = [as_teacher(member, device=device) for member in ensemble.members]
        self._weights, self._temperatures = ensemble.settings.weights, ensemble.settings.temperatures
        self._digest = digest_of_model(ensemble)

    def digest(self) -> str:
        """Digest of all members."""
        return self._digest

    def item_vectors(self) -> FloatArray | None:
        """The table of the member with the largest weight that has one."""
        tables = [(w, m.item_vectors()) for w, m in zip(self._weights, self._members, strict=True)]
        known = [(weight, table) for weight, table in tables if table is not None]
        return max(known, key=lambda pair: pair[0])[1] if known else None

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """A part, or the parts, of each member that has a weight."""
        return [
            _weighed(part, weight, temperature)
            for member, weight, temperature in zip(self._members, self._weights, self._temperatures, strict=True)
            if weight > 0
            for part in member.soft_labels(batch)
        ]


def _weighed(part: Labels, weight: float, temperature: float) -> Labels:
    if isinstance(part, FactorLabels | DenseLabels):
        return replace(part, weight=part.weight * weight, temperature=part.temperature * temperature)
    return replace(part, weight=part.weight * weight)


def _prefixes(batch: Batch, max_length: int | None) -> Batch:
    """Every beginning of every history as a history of its own, in the order of the batch's real positions."""
    rows = Ragged.of([batch.items[row, :length] for row, length in enumerate(batch.lengths)])
    return Batch.of([row[:end] for row in rows for end in range(1, len(row) + 1)], max_length=max_length)


def digest_of_model(model: Model) -> str:
    """Digest of a model's kind, settings and arrays."""
    return sha256_of_value([model.kind, model.settings.model_dump(mode="json"), sha256_of_arrays(model.state())])
