"""Every method of compression by its settings, and the one function that applies them in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Discriminator, Tag

from distilrec.compress.drop_layers import DropLayers, drop_layers
from distilrec.compress.prune_items import PruneItems, prune_items
from distilrec.compress.prune_layers import PruneLayers, prune_layers
from distilrec.compress.prune_units import PruneHeads, PruneUnits, prune_heads, prune_units
from distilrec.compress.prune_weights import PruneWeights, prune_weights
from distilrec.compress.prune_width import PruneWidth, prune_width
from distilrec.compress.quantise import Quantise, quantise
from distilrec.compress.quantise_aware import QuantiseAware, quantise_aware
from distilrec.compress.retraining import Retrain, Retraining, begun_with, retrain
from distilrec.compress.share import (
    CodebookTable,
    HashedTable,
    LowRankTable,
    QuotientRemainderTable,
    ShareLayers,
    share_layers,
    share_table,
)
from distilrec.config import Settings, tag_by_kind
from distilrec.errors import SettingsError
from distilrec.recommender import Recommender

__all__ = ["Compression", "Retraining", "compress", "method_kinds", "settings_of"]

Method = Callable[[Recommender, Any, Retraining | None], Recommender]


def _quantise(recommender: Recommender, settings: Quantise, training: Retraining | None) -> Recommender:
    return quantise(recommender, settings)


_METHODS: Mapping[type[Settings], Method] = {
    Quantise: _quantise,
    QuantiseAware: quantise_aware,
    PruneWeights: prune_weights,
    PruneUnits: prune_units,
    PruneHeads: prune_heads,
    PruneLayers: prune_layers,
    PruneWidth: prune_width,
    DropLayers: drop_layers,
    PruneItems: prune_items,
    LowRankTable: share_table,
    CodebookTable: share_table,
    HashedTable: share_table,
    QuotientRemainderTable: share_table,
    ShareLayers: share_layers,
    Retrain: retrain,
}

Compression = Annotated[
    Annotated[Quantise, Tag("<quantise>")]
    | Annotated[QuantiseAware, Tag("<quantise_aware>")]
    | Annotated[PruneWeights, Tag("<prune_weights>")]
    | Annotated[PruneUnits, Tag("<prune_units>")]
    | Annotated[PruneHeads, Tag("<prune_heads>")]
    | Annotated[PruneLayers, Tag("<prune_layers>")]
    | Annotated[PruneWidth, Tag("<prune_width>")]
    | Annotated[DropLayers, Tag("<drop_layers>")]
    | Annotated[PruneItems, Tag("<prune_items>")]
    | Annotated[LowRankTable, Tag("<low_rank>")]
    | Annotated[CodebookTable, Tag("<codebooks>")]
    | Annotated[HashedTable, Tag("<hashed>")]
    | Annotated[QuotientRemainderTable, Tag("<quotient_remainder>")]
    | Annotated[ShareLayers, Tag("<share_layers>")]
    | Annotated[Retrain, Tag("<retrain>")],
    Discriminator(
        tag_by_kind(),
        custom_error_type="unknown_kind",
        custom_error_message="unknown kind of compression; known: "
        + ", ".join(str(settings.model_fields["kind"].default) for settings in _METHODS),
    ),
]
"""The settings of a method in a recipe, chosen by `kind`."""


def method_kinds() -> list[str]:
    """The names of all methods."""
    return [str(settings.model_fields["kind"].default) for settings in _METHODS]


def settings_of(kind: str) -> type[Settings]:
    """The settings class of a method.

    Raises:
        SettingsError: there is no such method.
    """
    found = {str(settings.model_fields["kind"].default): settings for settings in _METHODS}
    if kind not in found:
        raise SettingsError(f"there is no compression of kind {kind!r}; known kinds: {', '.join(found)}")
    return found[kind]


def trains(settings: Settings) -> bool:
    """Whether a method trains the model, as it is told."""
    return bool(getattr(settings, "retrain", getattr(settings, "kind", "") != "quantise"))


def compress(recommender: Recommender, methods: Sequence[Settings], training: Retraining | None = None) -> Recommender:
    """Apply methods one after another.

    ```python
    small = compress(recommender, [PruneLayers(keep=1), Quantise()], training)
    small.save_pretrained("small")
    ```

    Args:
        recommender: what is compressed; it is not altered.
        methods: their settings, in the order in which they are applied.
        training: for methods that train or measure the model.

    Raises:
        SettingsError: a method does not apply to this model or after those before it, or lacks `training`; or the
            model holds NaN or infinity.
    """
    _refuse_infinite(recommender)
    if training is not None:
        training = begun_with(training, recommender)
    for settings in methods:
        method = _METHODS.get(type(settings))
        if method is None:
            raise SettingsError(
                f"{type(settings).__name__} are no settings of a compression; known kinds: {', '.join(method_kinds())}"
            )
        recommender = method(recommender, settings, training)
    return recommender


def _refuse_infinite(recommender: Recommender) -> None:
    for name, array in recommender.model.state().items():
        if not np.isfinite(array).all():
            raise SettingsError(
                f"{name} holds NaN or infinity, which nothing compresses; the model is damaged or its training diverged"
            )
