"""Every method of compression by its settings, and the one function that applies them in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from distilrec.compress.quantise import Quantise, quantise
from distilrec.compress.retraining import Retrain, Retraining, retrain
from distilrec.config import Settings, tag_by_kind
from distilrec.errors import SettingsError
from distilrec.recommender import Recommender

__all__ = ["Compression", "Retraining", "compress", "method_kinds"]

Method = Callable[[Recommender, Any, Retraining | None], Recommender]


def _quantise(recommender: Recommender, settings: Quantise, training: Retraining | None) -> Recommender:
    return quantise(recommender, settings)


_METHODS: Mapping[type[Settings], Method] = {
    Quantise: _quantise,
    Retrain: retrain,
}

Compression = Annotated[
    Annotated[Quantise, Tag("<quantise>")] | Annotated[Retrain, Tag("<retrain>")],
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
        SettingsError: a method does not apply to this model or after those before it, or lacks `training`.
    """
    for settings in methods:
        method = _METHODS.get(type(settings))
        if method is None:
            raise SettingsError(
                f"{type(settings).__name__} are no settings of a compression; known kinds: {', '.join(method_kinds())}"
            )
        recommender = method(recommender, settings, training)
    return recommender
