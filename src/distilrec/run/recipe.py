"""A recipe: everything that decides a run, in one checked object or YAML file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from distilrec.config import Settings, apply_overrides, load_yaml, parse
from distilrec.data.filter import FilterSettings
from distilrec.data.split import SplitSettings
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.encode.settings import EncodeSettings
from distilrec.evaluate.accuracy import METRICS_AT_K
from distilrec.evaluate.cost import CostSettings
from distilrec.evaluate.ranking import check_cutoffs
from distilrec.models.ease import EASESettings
from distilrec.models.item_knn import ItemKNNSettings
from distilrec.models.popularity import PopularitySettings
from distilrec.models.students import StudentModel, TransformerStudent
from distilrec.run.rehearsal import rehearse
from distilrec.run.teacher_stages import (
    KnowledgeTeacher,
    OutsideTeacher,
    SavedTeacher,
    TeacherStage,
    TextAndIdsTeacher,
    max_length_of,
    named_teachers,
    width_of,
)
from distilrec.run.track import Tracker
from distilrec.run.wanted import missing
from distilrec.teach.settings import KnowledgeSettings


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


class TeacherAndKnowledge(Settings):
    """A teacher and what is taken out of it: what `distilrec teach` is told."""

    teacher: TeacherStage = TextAndIdsTeacher()
    """The teacher; `kind` says which."""
    knowledge: KnowledgeSettings = KnowledgeSettings()
    """What is taken out of it."""


class StudentStage(Settings):
    """The student's shape and training, the same alone and distilled."""

    model: StudentModel = TransformerStudent()
    """Its shape; `kind` says of which model, `preset` a size."""
    train: TrainSettings = TrainSettings()
    """How it is trained."""


class StudentAndTeacher(StudentStage):
    """A student's stage with how much it listens: what `distilrec distil` is told."""

    distil: DistilSettings = DistilSettings()
    """How much the student listens."""


class EvaluateStage(Settings):
    """How models are judged."""

    cutoffs: tuple[int, ...] = Field((5, 10, 20), min_length=1)
    """Lengths of the lists that metrics look at."""
    exclude_history: bool = True
    """Whether items of the history are taken out of the ranking."""
    metric: str = "ndcg@10"
    """What validation goes by, and what models are compared by."""
    latency_requests: int = Field(200, ge=10)
    """How many requests are timed for each model."""

    @field_validator("cutoffs")
    @classmethod
    def _make_sense(cls, cutoffs: tuple[int, ...]) -> tuple[int, ...]:
        check_cutoffs(cutoffs, n_items=max(cutoffs))  # the catalogue is not known yet
        return cutoffs


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
    teacher: TeacherStage = TextAndIdsTeacher()
    """The teacher; `kind` says which."""
    knowledge: KnowledgeSettings = KnowledgeSettings()
    """What is taken out of it."""
    student: StudentStage = StudentStage()
    """The student."""
    distil: DistilSettings = DistilSettings()
    """How much the student listens."""
    evaluate: EvaluateStage = EvaluateStage()
    """How all are judged."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    """Seeds of the students, alone and distilled; each trains both once."""
    costs: CostSettings | None = CostSettings()
    """How it is measured what models cost to serve; none measures no more than milliseconds."""
    also_split: SplitSettings | None = None
    """A second split: the whole recipe once more on it, and where both splits disagree about the models."""
    track: tuple[Tracker, ...] = ()
    """What is told of trainings, settings and metrics besides the run's folder: tensorboard, mlflow."""

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        """Refuse now what would otherwise stop the run after hours of training."""
        problems = [*self._wrong_shapes(), *self._wrong_seeds(), *self._wrong_metric(), *self._wrong_teaching()]
        problems += self._wrong_splits()
        if not problems:
            student = self.student
            problems += rehearse(student.model, student.train, self.distil, self.teacher, self.knowledge)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _wrong_shapes(self) -> Iterator[str]:
        student = self.student.model
        for where, teacher in named_teachers(self.teacher):
            length, width = max_length_of(teacher), width_of(teacher)
            if length is not None and length < student.max_length:
                yield (
                    f"{where}.model.max_length is {length} and student.model.max_length is {student.max_length}; the "
                    "teacher must read at least as much, because its knowledge is of the student's training windows"
                )
            if width is not None and width % getattr(teacher.model, "heads", 1):
                yield f"{where}.model.width {width} does not divide by {where}.model.heads {teacher.model.heads}"
        heads = getattr(student, "heads", 1)
        if student.width % heads:
            yield f"student.model.width {student.width} does not divide by student.model.heads {heads}"
        if self.distil.start_from_teacher:
            yield from self._wrong_starts()

    def _wrong_starts(self) -> Iterator[str]:
        widths = [width_of(teacher) for _, teacher in named_teachers(self.teacher)]
        known, student = [width for width in widths if width is not None], self.student.model.width
        if isinstance(self.teacher, OutsideTeacher) and self.teacher.vectors is not None:
            return  # how wide they are is seen when they are read
        if isinstance(self.teacher, KnowledgeTeacher):
            return  # likewise
        if any(isinstance(teacher, SavedTeacher) for _, teacher in named_teachers(self.teacher)):
            return  # likewise
        if not known:
            yield (
                f"a teacher of kind {self.teacher.kind} has no item vectors for the student to start from; set "
                "distil.start_from_teacher=false"
            )
        elif student > max(known):
            yield (
                f"student.model.width {student} is more than teacher.model.width {max(known)}, so the student "
                "cannot start from the teacher's item table; choose a smaller one, or distil.start_from_teacher=false"
            )

    def _wrong_teaching(self) -> Iterator[str]:
        yield from missing(self.distil, self.teacher, self.knowledge, self.student.train)
        for where, teacher in named_teachers(self.teacher):
            augment = getattr(getattr(teacher, "train", None), "augment", None)
            if augment is not None and augment.needs_neighbours:
                yield (
                    f"{where}.train.augment substitutes or inserts items that a teacher finds similar, and a teacher "
                    "has none itself; set substitute and insert to 0"
                )

    def _wrong_seeds(self) -> Iterator[str]:
        if len(set(self.seeds)) != len(self.seeds):
            yield f"seeds {list(self.seeds)} name one twice"
        if self.student.train.seed:
            yield f"student.train.seed is {self.student.train.seed}; students take theirs from seeds, so set those"

    def _wrong_splits(self) -> Iterator[str]:
        if self.also_split is None:
            return
        if self.also_split == self.data.split:
            yield "also_split is the same as data.split; name another kind, or another place to cut"
        for where, teacher in named_teachers(self.teacher):
            if isinstance(teacher, SavedTeacher | OutsideTeacher | KnowledgeTeacher):
                yield (
                    f"{where}.kind is {teacher.kind}: what such a teacher says was learnt before, perhaps from events "
                    "that also_split asks about; take a teacher that the run trains, or leave also_split out"
                )

    def _wrong_metric(self) -> Iterator[str]:
        known = [f"{name}@{k}" for k in self.evaluate.cutoffs for name in METRICS_AT_K] + ["mrr", "auc"]
        if self.evaluate.metric not in known:
            yield f"evaluate.metric {self.evaluate.metric!r} is not measured; choose from {', '.join(known)}"


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; `overrides` are `stage.key=value` lines that win over the file.

    Relative paths (of the data and of the encoder) are looked for from the working folder first, then from the
    recipe's own folder.
    """
    recipe = parse(Recipe, apply_overrides(load_yaml(path), overrides), where=str(path))
    return with_paths(recipe, lambda p: path.parent / p if not p.exists() and (path.parent / p).exists() else p)


def with_paths(recipe: Recipe, change: Callable[[Path], Path]) -> Recipe:
    """The recipe with each of its paths changed; names of files within the data's folder stay."""
    data, encode = recipe.data.model_dump(), recipe.encode.model_dump()
    data["path"] = change(recipe.data.path)
    for name in ("items", "users"):
        if data[name] is not None and not (data["path"] / data[name]).exists():
            data[name] = change(data[name])
    models = [(model, Path(model)) for model in recipe.encode.models]  # a name on the hub is no path that exists
    encode["model"] = [model if change(path) == path else str(change(path)) for model, path in models]
    teacher = recipe.teacher.model_dump(mode="json")
    for name in ("rankings", "vectors"):
        if teacher.get(name) is not None:
            teacher[name] = str(change(Path(teacher[name])))
    if "folders" in teacher:
        teacher["folders"] = [str(change(Path(folder))) for folder in teacher["folders"]]
    return recipe.with_changes(data=data, encode=encode, teacher=teacher)
