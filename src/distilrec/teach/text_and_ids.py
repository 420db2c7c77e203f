"""The first teacher: frozen pretrained item vectors, projected, plus free item vectors, under a larger transformer."""

from __future__ import annotations

from pydantic import Field

from distilrec.models.tables import ContentTable
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import FloatArray


class TeacherSettings(TransformerSettings):
    """The shape of the text-and-ids teacher: a transformer's, wider."""

    width: int = Field(128, ge=1)
    """Width of item and history vectors, D."""
    free: bool = True
    """Whether each item also has a free vector beside its text; without, unseen items rank as well as seen ones."""


def build_teacher(settings: TeacherSettings, content: FloatArray) -> Transformer:
    """An untrained teacher over whitened content vectors `[N, F]` (see `encode.whiten.project`).

    The pretrained encoder itself stays frozen: its vectors are worked out once, so that training costs no more than
    training a student of the same width. Source: the text-plus-id form of Hou et al. 2022 (UniSRec).
    """
    shape = TransformerSettings(**{name: getattr(settings, name) for name in TransformerSettings.model_fields})
    table = ContentTable(content, settings.width, free=settings.free)
    return Transformer(shape, len(content), table=table)
