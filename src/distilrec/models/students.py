"""The settings of every kind of student, chosen by `kind` in a recipe; presets; making one; its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Discriminator, Field, Tag, model_validator
from torch import nn

from distilrec.config import Settings, tag_by_kind
from distilrec.errors import SettingsError
from distilrec.models.cnn import CNN, CNNSettings
from distilrec.models.factorisation import MatrixFactorisation, MatrixFactorisationSettings
from distilrec.models.gru import GRU, GRUSettings
from distilrec.models.lightgcn import LightGCN, LightGCNSettings
from distilrec.models.linear import Linear, LinearSettings
from distilrec.models.linear_recurrence import LinearRecurrence, LinearRecurrenceSettings
from distilrec.models.product_form import ProductForm
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.models.two_tower import TwoTower, TwoTowerSettings
from distilrec.types import Ragged

Size = Literal["tiny", "small", "base"]
SIZES: tuple[Size, ...] = get_args(Size)

_KINDS: Mapping[str, tuple[type[Settings], type[ProductForm]]] = {
    "transformer": (TransformerSettings, Transformer),
    "gru": (GRUSettings, GRU),
    "linear_recurrence": (LinearRecurrenceSettings, LinearRecurrence),
    "cnn": (CNNSettings, CNN),
    "two_tower": (TwoTowerSettings, TwoTower),
    "linear": (LinearSettings, Linear),
    "matrix_factorisation": (MatrixFactorisationSettings, MatrixFactorisation),
    "lightgcn": (LightGCNSettings, LightGCN),
}
_DEFAULT = "transformer"

_WIDTHS: Mapping[Size, int] = {"tiny": 32, "small": 64, "base": 128}
_PRESETS: Mapping[str, Mapping[Size, Mapping[str, Any]]] = {
    "transformer": {"base": {"blocks": 2, "heads": 2}},
    "linear_recurrence": {"base": {"blocks": 2}},
    "cnn": {"tiny": {"blocks": 1}},
}
"""What a preset changes besides the width; the settings' own defaults hold for the rest."""


class _Student(Settings):
    """What a student's settings have in a recipe, beside its shape."""

    preset: Size | None = Field(None, exclude=True)
    """What the settings that are not named are taken from. It is gone once they are."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:  # noqa: ANN401  (whatever a recipe says)
        if not isinstance(values, Mapping) or values.get("preset") not in SIZES:
            return values  # a wrong one is refused with the field's own message
        return {**_preset_values(cls.model_fields["kind"].default, values["preset"]), **values, "preset": None}


class TransformerStudent(_Student, TransformerSettings):
    """A causal transformer."""

    kind: Literal["transformer"] = "transformer"
    """Which student this is."""


class GRUStudent(_Student, GRUSettings):
    """A recurrent network, GRU or LSTM."""

    kind: Literal["gru"] = "gru"
    """Which student this is."""


class LinearRecurrenceStudent(_Student, LinearRecurrenceSettings):
    """A recurrence whose state is updated at a constant cost."""

    kind: Literal["linear_recurrence"] = "linear_recurrence"
    """Which student this is."""


class CNNStudent(_Student, CNNSettings):
    """Convolutions over the history."""

    kind: Literal["cnn"] = "cnn"
    """Which student this is."""


class TwoTowerStudent(_Student, TwoTowerSettings):
    """One network for the pooled history, one for the items."""

    kind: Literal["two_tower"] = "two_tower"
    """Which student this is."""


class LinearStudent(_Student, LinearSettings):
    """Softmax regression on the history."""

    kind: Literal["linear"] = "linear"
    """Which student this is."""


class MatrixFactorisationStudent(_Student, MatrixFactorisationSettings):
    """Matrix factorisation whose user is the sum of the history."""

    kind: Literal["matrix_factorisation"] = "matrix_factorisation"
    """Which student this is."""


class LightGCNStudent(_Student, LightGCNSettings):
    """Item vectors smoothed over the graph of who used what."""

    kind: Literal["lightgcn"] = "lightgcn"
    """Which student this is."""


StudentModel = Annotated[
    Annotated[TransformerStudent, Tag("<transformer>")]
    | Annotated[GRUStudent, Tag("<gru>")]
    | Annotated[LinearRecurrenceStudent, Tag("<linear_recurrence>")]
    | Annotated[CNNStudent, Tag("<cnn>")]
    | Annotated[TwoTowerStudent, Tag("<two_tower>")]
    | Annotated[LinearStudent, Tag("<linear>")]
    | Annotated[MatrixFactorisationStudent, Tag("<matrix_factorisation>")]
    | Annotated[LightGCNStudent, Tag("<lightgcn>")],
    Discriminator(
        tag_by_kind(_DEFAULT),
        custom_error_type="unknown_kind",
        custom_error_message=f"unknown kind of student; known: {', '.join(_KINDS)}",
    ),
]
"""The shape of a student in a recipe. Without `kind` it is a transformer's."""


def student_kinds() -> list[str]:
    """The names of all kinds of student."""
    return list(_KINDS)


def preset(kind: str, size: str) -> Settings:
    """Settings of a kind that are good without tuning.

    What is known of transformers on Amazon Beauty and MovieLens went into them (docs/log.md). Where histories are
    short, as on Beauty, a transformer is better still with `positions: none`.
    """
    if kind not in _KINDS:
        raise SettingsError(f"student kind {kind!r} is unknown; known: {', '.join(_KINDS)}")
    if size not in SIZES:
        raise SettingsError(f"student size {size!r} is unknown; known: {', '.join(SIZES)}")
    return _KINDS[kind][0](**_preset_values(kind, size))


def _preset_values(kind: str, size: Size) -> dict[str, Any]:
    return {"width": _WIDTHS[size], **_PRESETS.get(kind, {}).get(size, {})}


def plain_settings(settings: Settings) -> Settings:
    """What a model keeps of a recipe's settings: those of its own class, without `kind` and `preset`."""
    own, _ = _classes_of(settings)
    return own(**{name: getattr(settings, name) for name in own.model_fields})


def build_student(
    settings: Settings, n_items: int, *, table: nn.Module | None = None, sequences: Ragged | None = None
) -> ProductForm:
    """A new student.

    Args:
        settings: a recipe's (`StudentModel`) or a model's own (`GRUSettings`).
        table: where item vectors come from; without one, each item has a free vector.
        sequences: what is trained on; LightGCN's graph is made of it, others do not look.
    """
    plain = plain_settings(settings)
    if not isinstance(plain, LightGCNSettings):
        make: Any = _classes_of(settings)[1]  # all others have one signature
        return cast(ProductForm, make(plain, n_items, table=table))
    if sequences is None:
        raise SettingsError("a lightgcn student is made on the graph of the training sequences; give sequences")
    return LightGCN(plain, sequences, n_items=n_items, table=table)


def _classes_of(settings: Settings) -> tuple[type[Settings], type[ProductForm]]:
    """The plain settings class and the model class that settings are for."""
    for own, model in _KINDS.values():
        if isinstance(settings, own):
            return own, model
    raise SettingsError(f"{type(settings).__name__} are no student's settings; known: {', '.join(_KINDS)}")


@dataclass(frozen=True)
class Parameters:
    """How many numbers a student ships."""

    tables: int
    """Those of the items: they grow with the catalogue."""
    body: int
    """The others."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.tables + self.body


def count_shipped(settings: Settings, n_items: int) -> Parameters:
    """What a student with a catalogue of this size ships once its item table is finished.

    Sizes grow evenly with the catalogue, so two small students tell those of a large one.
    """
    one, two = (_shipped(settings, n_items=size) for size in (1, 2))
    return Parameters(tables=(two - one) * n_items, body=2 * one - two)


def _shipped(settings: Settings, n_items: int) -> int:
    student = build_student(settings, n_items, sequences=Ragged.of([[0]]))
    return sum(array.size for array in student.state().values())
