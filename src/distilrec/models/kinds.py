"""Every kind of model by name: what a saved model is rebuilt with."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, Protocol, Self, cast, runtime_checkable

import numpy as np

from distilrec.config import Settings, parse
from distilrec.errors import ArtifactError
from distilrec.types import Batch, FloatArray

# kind -> module, class, settings class; a module is loaded when its kind is asked for
_KINDS = {
    "popularity": ("distilrec.models.popularity", "Popularity", "PopularitySettings"),
    "item_knn": ("distilrec.models.item_knn", "ItemKNN", "ItemKNNSettings"),
    "ease": ("distilrec.models.ease", "EASE", "EASESettings"),
    "transformer": ("distilrec.models.transformer", "Transformer", "TransformerSettings"),
    "lightgcn": ("distilrec.models.lightgcn", "LightGCN", "LightGCNSettings"),
    "gru": ("distilrec.models.gru", "GRU", "GRUSettings"),
    "linear_recurrence": ("distilrec.models.linear_recurrence", "LinearRecurrence", "LinearRecurrenceSettings"),
    "cnn": ("distilrec.models.cnn", "CNN", "CNNSettings"),
    "two_tower": ("distilrec.models.two_tower", "TwoTower", "TwoTowerSettings"),
    "linear": ("distilrec.models.linear", "Linear", "LinearSettings"),
    "matrix_factorisation": ("distilrec.models.factorisation", "MatrixFactorisation", "MatrixFactorisationSettings"),
    "ensemble": ("distilrec.models.ensemble", "Ensemble", "EnsembleSettings"),
    "item_language_model": (
        "distilrec.models.item_language_model",
        "ItemLanguageModel",
        "ItemLanguageModelSettings",
    ),
    "text_language_model": (
        "distilrec.models.text_language_model",
        "TextLanguageModel",
        "TextLanguageModelSettings",
    ),
}


class Model(Protocol):
    """What every kind of model has; the contract tests hold them to it."""

    kind: ClassVar[str]

    @property
    def settings(self) -> Settings:
        """What it was made with."""
        ...

    @property
    def n_items(self) -> int:
        """How many items it ranks, N."""
        ...

    @property
    def n_parameters(self) -> int:
        """Numbers that were learnt."""
        ...

    def scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each history, [B, N]."""
        ...

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """What it learnt, as arrays."""
        ...

    @classmethod
    def from_state(cls, settings: Any, state: Mapping[str, np.ndarray[Any, Any]]) -> Self:  # noqa: ANN401
        """Rebuild it."""
        ...


@runtime_checkable
class OfVectors(Protocol):
    """What models have besides whose scores are products."""

    def item_table(self) -> FloatArray:
        """Every item's vector, [N, D]."""
        ...

    def newest_vectors(self, batch: Batch) -> FloatArray:
        """What the user of each history wants next, [B, D]."""
        ...


def rebuild(kind: str, settings: Mapping[str, Any], state: Mapping[str, np.ndarray[Any, Any]]) -> Model:
    """A model from what `kind`, `settings` and `state()` said when it was saved."""
    module = import_kind(kind)
    _, class_name, settings_name = _KINDS[kind]
    model = getattr(module, class_name).from_state(parse(getattr(module, settings_name), settings, where=kind), state)
    return cast(Model, model)


def import_kind(kind: str) -> ModuleType:
    """The module of a kind, and with it the libraries that it needs."""
    if kind not in _KINDS:
        raise ArtifactError(
            f"model kind {kind!r} is unknown; known: {', '.join(_KINDS)}. A newer DistilRec may know it"
        )
    return import_module(_KINDS[kind][0])


def kinds() -> list[str]:
    """The names of all kinds."""
    return list(_KINDS)
