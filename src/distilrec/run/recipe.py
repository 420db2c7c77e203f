"""A recipe: everything that decides a run, in one checked object or YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from distilrec.config import Settings, apply_overrides, load_yaml, parse
from distilrec.data.filter import FilterSettings
from distilrec.data.split import SplitSettings
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.encode.settings import EncodeSettings
from distilrec.evaluate.evaluation import METRICS_AT_K
from distilrec.models.ease import EASESettings
from distilrec.models.item_knn import ItemKNNSettings
from distilrec.models.popularity import PopularitySettings
from distilrec.models.transformer import TransformerSettings
from distilrec.teach.text_and_ids import TeacherSettings


class DataSettings(Settings):
    """Which log, how it is cleaned, and how it is split."""

    path: Path
    """A file, or a folder in which the log and the catalogue are recognised."""
    items: Path | None = None
    """The catalogue, when it is not recognised by itself."""
    users: Path | None = None
    """The table of users, likewise."""
    columns: dict[str, str] = Field(default_factory=dict)
    """The file's own name of a canonical column, as in {user_id: who}."""
    separator: str | None = None
    """What separates columns, when it is not recognised."""
    missing_ids: Literal["refuse", "drop"] = "refuse"
    """What is done with events that lack a user or an item."""
    mixed_ids: Literal["refuse", "text"] = "refuse"
    """What is done when an id column holds numbers and text."""
    bad_times: Literal["refuse", "drop", "blank"] = "refuse"
    """What is done with events whose time is impossible."""
    bad_weights: Literal["refuse", "drop"] = "refuse"
    """What is done with events whose weight is not a number."""
    filter: FilterSettings = FilterSettings()
    """Which events are kept."""
    split: SplitSettings = SplitSettings()
    """What is trained on, what validates, what tests."""


class BaselineSettings(Settings):
    """The baselines that stand beside every student; none leaves one out."""

    popularity: PopularitySettings | None = PopularitySettings()
    """How often an item was chosen."""
    item_knn: ItemKNNSettings | None = ItemKNNSettings()
    """Items like those in the history."""
    ease: EASESettings | None = EASESettings()
    """A linear item-item model in closed form."""


class TeacherStage(Settings):
    """The teacher: its content vectors, its shape, its training."""

    model: TeacherSettings = TeacherSettings()
    """Its shape."""
    content_width: int = Field(128, ge=1)
    """Width that the encoder's vectors are reduced to."""
    content_projection: Literal["whiten", "pca"] = "whiten"
    """How they are reduced; whitening gives every direction the same weight."""
    train: TrainSettings = TrainSettings()
    """How it is trained."""
    knowledge: Literal["disk", "live"] = "disk"
    """Whether its soft labels are written to disk once, or worked out for each batch."""


class StudentStage(Settings):
    """The student's shape and training, the same alone and distilled."""

    model: TransformerSettings = TransformerSettings()
    """Its shape."""
    train: TrainSettings = TrainSettings()
    """How it is trained."""


class StudentAndTeacher(StudentStage):
    """A student's stage with how much it listens: what `distilrec distil` is told."""

    distil: DistilSettings = DistilSettings()
    """How much the student listens."""


class EvaluateStage(Settings):
    """How models are judged."""

    cutoffs: tuple[int, ...] = (5, 10, 20)
    """Lengths of the lists that metrics look at."""
    exclude_history: bool = True
    """Whether items of the history are taken out of the ranking."""
    metric: str = "ndcg@10"
    """What validation goes by, and what models are compared by."""
    latency_requests: int = Field(200, ge=10)
    """How many requests are timed for each model."""


class Recipe(Settings):
    """A whole run."""

    name: str = "recommender"
    """What the artefact is called."""
    data: DataSettings
    """The log and its split."""
    encode: EncodeSettings = EncodeSettings()
    """The pretrained encoder and the text it reads."""
    baselines: BaselineSettings = BaselineSettings()
    """What stands beside the students."""
    teacher: TeacherStage = TeacherStage()
    """The teacher."""
    student: StudentStage = StudentStage()
    """The student."""
    distil: DistilSettings = DistilSettings()
    """How much the student listens."""
    evaluate: EvaluateStage = EvaluateStage()
    """How all are judged."""
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    """Seeds of the students, alone and distilled; each trains both once."""

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        teacher, student = self.teacher.model.max_length, self.student.model.max_length
        if teacher != student:
            raise ValueError(
                f"teacher.model.max_length is {teacher} and student.model.max_length is {student}; they must be equal, "
                "because the teacher's knowledge is looked up by the student's training windows"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} name one twice")
        known = [f"{name}@{k}" for k in self.evaluate.cutoffs for name in METRICS_AT_K] + ["mrr"]
        if self.evaluate.metric not in known:
            raise ValueError(
                f"evaluate.metric {self.evaluate.metric!r} is not measured; choose from {', '.join(known)}"
            )
        return self


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; `overrides` are `stage.key=value` lines that win over the file.

    A relative `data.path` is looked for from the working folder first, then from the recipe's own folder.
    """
    recipe = parse(Recipe, apply_overrides(load_yaml(path), overrides), where=str(path))
    beside = path.parent / recipe.data.path
    if not recipe.data.path.exists() and beside.exists():
        return recipe.with_changes(data={**recipe.data.model_dump(), "path": beside})
    return recipe
