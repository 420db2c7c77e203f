"""What a teacher is that is asked live: anything that gives soft labels for the positions of a batch.

`as_teacher` makes one of every kind of model. Those whose scores are a product say so in factors; the others say a
logit for every item, which nobody keeps.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from distilrec.errors import KnowledgeError
from distilrec.files import sha256_of_arrays, sha256_of_value
from distilrec.knowledge import DenseLabels, FactorLabels, KnowledgeSource, Labels
from distilrec.models.blocks import CausalBlock
from distilrec.models.ensemble import Ensemble
from distilrec.models.kinds import Model
from distilrec.models.taps import Tap, tapped
from distilrec.types import Batch, FloatArray, Ragged

HISTORY_VECTORS = "history_vectors"


@runtime_checkable
class ScoresPositions(Protocol):
    """A model that scores what comes after every position at once, faster than history by history."""

    def position_scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each real position of each history, [P, N]."""
        ...


def as_teacher(model: Model, *, device: str | None = None, relation_heads: int = 1) -> KnowledgeSource:
    """The model as a teacher, asked for every batch as it comes.

    Needs no disk, and costs one forward pass a batch. `device` is a GPU where there is one, unless said otherwise;
    `relation_heads` is into how many heads a layer is split for its relations.
    """
    if isinstance(model, Ensemble):
        return MixtureTeacher(model, device=device)
    if isinstance(model, nn.Module):
        return VectorTeacher(model, device=device, relation_heads=relation_heads)
    return ScoreTeacher(model)


class LiveTeacher:
    """What all live teachers have in common: no stored lists, no table of users, and no columns unless they say so."""

    _why_no_columns: str
    _n_items: int

    def check_belongs(self, *, windows_digest: str, n_items: int) -> None:
        """Refuse another catalogue; any training windows can be asked about."""
        if self._n_items != n_items:
            raise KnowledgeError(f"the teacher ranks {self._n_items} items; this catalogue has {n_items}")

    def user_vectors(self) -> None:
        """It has none."""

    def lists(self, batch: Batch) -> None:
        """It has none: they are cut from the soft labels."""

    @property
    def columns(self) -> Collection[str]:
        """None."""
        return ()

    def column_width(self, name: str) -> int:
        """Refuses."""
        raise KnowledgeError(f"the teacher has no {name}: {self._why_no_columns}")

    def column(self, name: str, batch: Batch) -> np.ndarray[Any, Any]:
        """Refuses."""
        raise KnowledgeError(f"the teacher has no {name}: {self._why_no_columns}")


@dataclass(frozen=True, eq=False)
class _Answer:
    """What one forward pass gave."""

    batch: Batch
    history_vectors: FloatArray  # [P, D_teacher]
    columns: dict[str, FloatArray]


class VectorTeacher(LiveTeacher):
    """A network of product form: history vectors times item vectors, and whatever its layers give on the way."""

    def __init__(self, model: Any, *, device: str | None = None, relation_heads: int = 1) -> None:  # noqa: ANN401  (a Model and nn.Module)
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.module: nn.Module = model.fold().eval().to(chosen)
        self._digest, self._relation_heads = digest_of_model(model), relation_heads
        with torch.inference_mode():
            self._items: FloatArray = np.asarray(self.module.item_vectors().float().cpu().numpy())
        self._n_items = len(self._items)
        self._taps: dict[str, Tap] = {}
        self._last: _Answer | None = None

    def digest(self) -> str:
        """Digest of the weights."""
        return self._digest

    def item_vectors(self) -> FloatArray:
        """The teacher's item table, [N, D_teacher]."""
        return self._items

    def history_vectors(self, batch: Batch) -> FloatArray:
        """The teacher's vectors for the real positions of a batch, [P, D_teacher]."""
        return self._answer(batch).history_vectors

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """One part: two factors."""
        return [FactorLabels(self.history_vectors(batch), self._items)]

    @property
    def columns(self) -> list[str]:
        """History vectors, and `hidden`, `attention` and `relation` of its layers by their paths."""
        layers = [(path, layer) for path, layer in self.module.named_modules() if path]
        blocks = [path for path, layer in layers if isinstance(layer, CausalBlock)]
        hidden = [Tap("hidden", path) for path, _ in layers] + [Tap("relation", path) for path, _ in layers]
        inside = [Tap("relation", path, of=of) for path in blocks for of in ("query", "key", "value")]
        return [HISTORY_VECTORS, *(t.column for t in [*hidden, *(Tap("attention", path) for path in blocks), *inside])]

    def column_width(self, name: str) -> int:
        """How wide a column is, found out by asking. From then on the column comes with every forward pass."""
        history = [0] * min(2, int(self.module.max_length))  # type: ignore[arg-type]
        return int(self.column(name, Batch.of([history, [0]])).shape[1])

    def column(self, name: str, batch: Batch) -> FloatArray:
        """What a layer gives for a batch; several columns and the soft labels of one batch cost one forward pass."""
        if name == HISTORY_VECTORS:
            return self.history_vectors(batch)
        if name not in self._taps:
            wanted = {**self._taps, name: Tap.parse(name, heads=self._relation_heads)}
            self._last = self._ask(batch, wanted)  # refuses a tap that it can't have
            self._taps = wanted
        return self._answer(batch).columns[name]

    def _answer(self, batch: Batch) -> _Answer:
        """Kept until another batch comes; batches are never changed once they are made."""
        if self._last is None or self._last.batch is not batch:
            self._last = self._ask(batch, self._taps)
        return self._last

    @torch.inference_mode()
    def _ask(self, batch: Batch, taps: dict[str, Tap]) -> _Answer:
        with tapped(self.module, list(taps.values())) as found:
            vectors = self.module(batch)[0]
        columns = {name: value.float().cpu().numpy() for name, value in found.rows(batch).items()}
        return _Answer(batch, vectors.float().cpu().numpy(), columns)


class ScoreTeacher(LiveTeacher):
    """A model that only scores: each position costs a score for every item."""

    def __init__(self, model: Model) -> None:
        self._model, self._digest, self._n_items = model, digest_of_model(model), model.n_items
        self._why_no_columns = f"{model.kind} gives scores and has no layers to look into; take another teacher"

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


class MixtureTeacher(LiveTeacher):
    """An ensemble: what its members say, with their weights and temperatures."""

    _why_no_columns = "an ensemble has no layers of its own; take one of its members as the teacher"

    def __init__(self, ensemble: Ensemble, *, device: str | None = None) -> None:
        self._members = [as_teacher(member, device=device) for member in ensemble.members]
        self._weights, self._temperatures = ensemble.settings.weights, ensemble.settings.temperatures
        self._digest, self._n_items = digest_of_model(ensemble), ensemble.n_items

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
