"""A teacher that reads item vectors with a pretrained language model: made from the model's folder."""

from __future__ import annotations

from distilrec.errors import SettingsError
from distilrec.models.body import load_body
from distilrec.models.item_language_model import ItemLanguageModel, ItemLanguageModelSettings
from distilrec.models.tables import ContentTable
from distilrec.types import FloatArray

__all__ = ["ItemLanguageModelSettings", "build_item_language_model"]


def build_item_language_model(settings: ItemLanguageModelSettings, content: FloatArray) -> ItemLanguageModel:
    """A teacher with a pretrained body over whitened content vectors `[N, F]` (see `encode.whiten.project`).

    Its other weights are drawn from torch's own generator: seed that first.

    Raises:
        SourceError: the folder of the body holds no model, or none that can be used.
        SettingsError: the histories are longer than the body can read.
    """
    if settings.body_config is not None:
        raise SettingsError("body_config is filled in from the folder that body names; leave it out")
    table = ContentTable(content, settings.width, free=settings.free)
    return ItemLanguageModel(settings, len(content), body=load_body(settings), table=table)
