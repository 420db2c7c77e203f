"""The settings of every kind of teacher, chosen by `kind` in a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from distilrec.config import Settings, tag_by_kind
from distilrec.distil.settings import TrainSettings
from distilrec.models.ease import EASESettings
from distilrec.models.item_knn import ItemKNNSettings
from distilrec.models.lightgcn import LightGCNSettings
from distilrec.models.students import LinearRecurrenceStudent, StudentModel
from distilrec.models.transformer import TransformerSettings
from distilrec.teach.language_model import ItemLanguageModelSettings
from distilrec.teach.outside_lists import RankingSettings
from distilrec.teach.text_and_ids import TeacherSettings
from distilrec.teach.text_language_model import TextTeacherSettings


class Content(Settings):
    """How an encoder's vectors of the items are made fit for a teacher."""

    content_width: int = Field(128, ge=1)
    """Width that the encoder's vectors are reduced to."""
    content_projection: Literal["whiten", "pca"] = "whiten"
    """How they are reduced; whitening gives every direction the same weight."""


class TextAndIdsTeacher(Content):
    """Frozen encoder: its item vectors, projected, plus free ones, under a transformer."""

    kind: Literal["text_and_ids"] = "text_and_ids"
    """Which teacher this is."""
    model: TeacherSettings = TeacherSettings()
    """Its shape."""
    train: TrainSettings = TrainSettings()
    """How it is trained."""


class SequenceModelTeacher(Content):
    """Text and ids under a network of any kind that a student may have; ensembles gain from kinds that differ."""

    kind: Literal["sequence_model"]
    """Which teacher this is."""
    model: StudentModel = LinearRecurrenceStudent(width=128, blocks=2)
    """Its kind and shape. Where it is given, its kind must be, and what else is not named is a student's: width 64."""
    free: bool = True
    """Whether each item also has a free vector beside its text; without, unseen items rank as well as seen ones."""
    train: TrainSettings = TrainSettings()
    """How it is trained."""

    @field_validator("model", mode="before")
    @classmethod
    def _kind_is_named(cls, model: Any) -> Any:  # noqa: ANN401
        if isinstance(model, Mapping) and "kind" not in model:
            raise ValueError("name its kind too, such as linear_recurrence; a shape alone would be a transformer's")
        return model


class LargeTransformer(TransformerSettings):
    """The shape of a transformer that need not be small."""

    width: int = Field(128, ge=1)
    """Width of item and history vectors, D."""
    blocks: int = Field(2, ge=1)
    """How many transformer blocks."""
    heads: int = Field(2, ge=1)
    """Attention heads of each block; they share the width."""


class FineTuning(TrainSettings):
    """How a model is trained that was pretrained in part."""

    body_learning_rate: float | None = Field(5e-5, gt=0)
    """Step size of the weights that were pretrained; none takes `learning_rate`."""
    warmup_steps: int = Field(100, ge=0)
    """Batches over which the step size rises from zero."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Largest length of the gradient; none means no bound."""


class IdsTeacher(Settings):
    """A large transformer over item ids alone."""

    kind: Literal["ids"]
    """Which teacher this is."""
    model: LargeTransformer = LargeTransformer()
    """Its shape."""
    train: TrainSettings = TrainSettings()
    """How it is trained."""


class EASETeacher(Settings):
    """EASE, solved in closed form."""

    kind: Literal["ease"]
    """Which teacher this is."""
    model: EASESettings = EASESettings()
    """How strongly it is held back."""


class ItemKNNTeacher(Settings):
    """Item-kNN."""

    kind: Literal["item_knn"]
    """Which teacher this is."""
    model: ItemKNNSettings = ItemKNNSettings()
    """How neighbours are chosen."""


class LightGCNTeacher(Settings):
    """Item vectors smoothed over the graph of who used what."""

    kind: Literal["lightgcn"]
    """Which teacher this is."""
    model: LightGCNSettings = LightGCNSettings()
    """Its shape."""
    train: TrainSettings = TrainSettings()
    """How it is trained."""


class ItemLanguageModelTeacher(Content):
    """A pretrained language model that reads the history as a sequence of item vectors."""

    kind: Literal["item_language_model"]
    """Which teacher this is."""
    model: ItemLanguageModelSettings = ItemLanguageModelSettings()
    """Which language model, and how it is fine-tuned."""
    train: FineTuning = FineTuning()
    """How it is trained."""


class TextLanguageModelTeacher(Settings):
    """A pretrained language model that reads the history as text."""

    kind: Literal["text_language_model"]
    """Which teacher this is."""
    model: TextTeacherSettings = TextTeacherSettings()
    """Which language model, what it reads, and how it is fine-tuned."""
    train: FineTuning = FineTuning()
    """How it is trained."""


class SavedTeacher(Settings):
    """A teacher that was made before."""

    kind: Literal["saved"]
    """Which teacher this is."""
    model: Path
    """Its folder, as `distilrec teach` wrote it, or its artefact."""


_DEFAULT = "text_and_ids"


SingleTeacher = Annotated[
    Annotated[TextAndIdsTeacher, Tag("<text_and_ids>")]
    | Annotated[SequenceModelTeacher, Tag("<sequence_model>")]
    | Annotated[IdsTeacher, Tag("<ids>")]
    | Annotated[EASETeacher, Tag("<ease>")]
    | Annotated[ItemKNNTeacher, Tag("<item_knn>")]
    | Annotated[LightGCNTeacher, Tag("<lightgcn>")]
    | Annotated[ItemLanguageModelTeacher, Tag("<item_language_model>")]
    | Annotated[TextLanguageModelTeacher, Tag("<text_language_model>")]
    | Annotated[SavedTeacher, Tag("<saved>")],
    Discriminator(tag_by_kind(_DEFAULT)),
]


class EnsembleTeacher(Settings):
    """Several teachers, whose probabilities are averaged."""

    kind: Literal["ensemble"]
    """Which teacher this is."""
    members: tuple[SingleTeacher, ...] = Field(min_length=2)
    """The teachers, each with its own kind and settings."""
    weights: tuple[float, ...] | None = None
    """Of the members; none fits them to the validation cases."""


class OutsideTeacher(Settings):
    """Ranked lists that another library or a service made. There is no model: only what it said."""

    kind: Literal["outside"]
    """Which teacher this is."""
    rankings: Path
    """The lists, as Parquet or JSON lines (docs/knowledge.md)."""
    reading: RankingSettings = RankingSettings()
    """What the lists' scores mean, and what is done with unknown users and items."""
    vectors: Path | None = None
    """Item vectors for a student's table to start from: .npy, .safetensors or Parquet."""


class ZeroShotTeacher(Settings):
    """A causal language model that was not trained: it ranks items by how likely their titles are."""

    kind: Literal["zero_shot"]
    """Which teacher this is."""
    model: str
    """A folder, or a name on the Hugging Face hub: GPT-2, Llama, Qwen ..."""
    prompt: str = "next_item"
    """A prompt that comes with the package, or a file of one's own."""
    likelihood: Literal["mean", "sum"] = "mean"
    """Over the tokens of a title."""
    candidates: int = Field(20, ge=2)
    """How many of item-kNN's best items are ranked for each user."""
    users: int | None = Field(None, ge=1)
    """How many users are asked about; none asks about all."""
    reading: RankingSettings = RankingSettings(tail_mass=0.5)
    """How likelihoods become probabilities; half of them is left to items that were no candidates."""


class KnowledgeTeacher(Settings):
    """What teachers said before, in one folder of knowledge or several; they may speak of different positions."""

    kind: Literal["knowledge"]
    """Which teacher this is."""
    folders: tuple[Path, ...] = Field(min_length=1)
    """The folders, as `distilrec teach`, `knowledge take` or `knowledge import` wrote them."""
    weights: tuple[float, ...] | None = None
    """The folders' shares of the mixture, which sum to 1; none gives each the same."""


SpeaksOnly = OutsideTeacher | ZeroShotTeacher | KnowledgeTeacher
"""Teachers of whom there is what they say, and no model that could be made or judged."""


TeacherStage = Annotated[
    Annotated[TextAndIdsTeacher, Tag("<text_and_ids>")]
    | Annotated[SequenceModelTeacher, Tag("<sequence_model>")]
    | Annotated[IdsTeacher, Tag("<ids>")]
    | Annotated[EASETeacher, Tag("<ease>")]
    | Annotated[ItemKNNTeacher, Tag("<item_knn>")]
    | Annotated[LightGCNTeacher, Tag("<lightgcn>")]
    | Annotated[ItemLanguageModelTeacher, Tag("<item_language_model>")]
    | Annotated[TextLanguageModelTeacher, Tag("<text_language_model>")]
    | Annotated[SavedTeacher, Tag("<saved>")]
    | Annotated[OutsideTeacher, Tag("<outside>")]
    | Annotated[ZeroShotTeacher, Tag("<zero_shot>")]
    | Annotated[KnowledgeTeacher, Tag("<knowledge>")]
    | Annotated[EnsembleTeacher, Tag("<ensemble>")],
    Discriminator(tag_by_kind(_DEFAULT)),
]


SPEED_ONLY = {"checkpoint_seconds"}
"""Settings of training that do not change where it ends."""


def without_speed(values: Any) -> Any:  # noqa: ANN401  (plain values of settings)
    """Settings as plain values without those that do not change the result."""
    if isinstance(values, Mapping):
        return {key: without_speed(value) for key, value in values.items() if key not in SPEED_ONLY}
    return [without_speed(value) for value in values] if isinstance(values, list | tuple) else values


def named_teachers(stage: Any) -> list[tuple[str, Any]]:  # noqa: ANN401  (any TeacherStage)
    """Every teacher that is not made of others, with its place in a recipe."""
    if isinstance(stage, EnsembleTeacher):
        return [(f"teacher.members.{number}", member) for number, member in enumerate(stage.members)]
    return [("teacher", stage)]


def max_length_of(stage: Any) -> int | None:  # noqa: ANN401
    """How many items of a history the teacher reads; none for one that reads them all."""
    lengths = [_of_model(teacher, "max_length") for _, teacher in named_teachers(stage)]
    known = [length for length in lengths if length is not None]
    return max(known) if known else None


def width_of(stage: Any) -> int | None:  # noqa: ANN401
    """Width of its item vectors; none for one that has none."""
    return _of_model(stage, "width")


def _of_model(stage: Any, name: str) -> int | None:  # noqa: ANN401
    value = getattr(getattr(stage, "model", None), name, None)
    return int(value) if value is not None else None


def reads_vectors(stage: Any) -> bool:  # noqa: ANN401
    """Whether an encoder's vectors of the items are needed."""
    return any(isinstance(teacher, Content) for _, teacher in named_teachers(stage))


def reads_text(stage: Any) -> bool:  # noqa: ANN401
    """Whether the teacher reads the items' text itself."""
    return any(teacher.kind == "text_language_model" for _, teacher in named_teachers(stage))
