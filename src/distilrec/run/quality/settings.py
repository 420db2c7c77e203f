"""What a proof compares: one data set, a teacher, students, methods, and the controls that stand beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from distilrec.config import Settings, parse
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.encode.settings import EncodeSettings
from distilrec.run.recipe import DataSettings, EvaluateStage, StudentStage
from distilrec.run.teacher_stages import SpeaksOnly, TeacherStage
from distilrec.teach.settings import KnowledgeSettings

ALONE, SELF = "alone", "self"
CONTROLS = (ALONE, "label_smoothing", "self_distillation", "shuffled_teacher", "alone_from_table")
Seeds = tuple[Annotated[int, Field(ge=0)], ...]


class Method(Settings):
    """A way to train a student."""

    distil: DistilSettings | None = None
    """How it listens to the teacher; none trains it without one."""
    train: dict[str, Any] = Field(default_factory=dict)
    """What is changed of the student's own training."""
    knowledge: KnowledgeSettings | None = None
    """What is taken out of the teacher; none takes what the recipe says."""
    teacher: str | None = None
    """One of `other_teachers`, or `self`: the same student trained alone from the same seed. None is the teacher."""
    shuffled: bool = False
    """Whether each training window is given what the teacher said of another one, and each item another's vector."""
    table_only: bool = False
    """Whether the teacher gives its item table and says nothing."""
    control: bool = False
    """Whether it is there to be beaten, and is no candidate for the best method."""

    @model_validator(mode="after")
    def _fits_together(self) -> Method:
        asked = [name for name in ("teacher", "knowledge") if getattr(self, name) is not None]
        asked += [name for name in ("shuffled", "table_only") if getattr(self, name)]
        if self.distil is None and asked:
            raise ValueError(f"{' and '.join(asked)} say what the teacher is, but without distil there is none")
        return self


class ProofStudent(StudentStage):
    """A student and what it is trained with."""

    methods: tuple[str, ...] | None = None
    """Names of methods and controls, beside `alone`, which every student has; none takes all."""
    headline: tuple[str, ...] = ()
    """Those of its methods that are trained from the headline seeds too."""


class QualityRecipe(Settings):
    """A proof."""

    name: str
    """What the data set is called in tables and plots."""
    prepared: Path | None = None
    """A folder of prepared data, such as a saved teacher was trained on; or give `data`."""
    data: DataSettings | None = None
    """The log and its split; or give `prepared`."""
    encode: EncodeSettings = EncodeSettings()
    """The encoder, for teachers that are trained here and read its vectors."""
    teacher: TeacherStage
    """The teacher; `{kind: saved, model: FOLDER}` is one that is finished."""
    other_teachers: dict[str, TeacherStage] = Field(default_factory=dict)
    """More teachers, for methods that name them."""
    knowledge: KnowledgeSettings = KnowledgeSettings()
    """What is taken out of a teacher."""
    students: dict[str, ProofStudent] = Field(min_length=1)
    """The students by name."""
    methods: dict[str, Method] = Field(min_length=1)
    """The methods by name, the main one first. A control named here has these settings instead of its own."""
    label_smoothing: float = Field(0.1, gt=0, lt=1)
    """Of the control of that name."""
    evaluate: EvaluateStage = EvaluateStage()
    """How all are judged; the metric is an NDCG."""
    seeds: Seeds = Field((0,), min_length=1)
    """Each method is trained from these."""
    headline_seeds: Seeds = (0, 1, 2)
    """Headline methods, and `alone` beside them, are trained from these too."""

    @property
    def main(self) -> str:
        """The method that the controls copy."""
        return next(iter(self.methods))

    @property
    def cutoff(self) -> int:
        """The length of the lists that are looked at."""
        return int(self.evaluate.metric.partition("@")[2])

    def method(self, name: str) -> Method:
        """A method or a control."""
        return self.methods[name] if name in self.methods else self._control(name)

    def _control(self, name: str) -> Method:
        main = self.methods[self.main]
        distil = main.distil or DistilSettings()  # the recipe has seen to it that there is some
        return {
            ALONE: lambda: Method(control=True),
            "label_smoothing": lambda: Method(train={"label_smoothing": self.label_smoothing}, control=True),
            "self_distillation": lambda: main.with_changes(teacher=SELF, control=True),
            "shuffled_teacher": lambda: main.with_changes(
                distil=distil.with_changes(layers={}, pull=0.0).model_dump(), shuffled=True, control=True
            ),
            "alone_from_table": lambda: Method(
                distil=DistilSettings(alpha=0.0, start_from_teacher=True),
                teacher=main.teacher,
                knowledge=main.knowledge,
                table_only=True,
                control=True,
            ),
        }[name]()

    def method_names(self, student: str) -> list[str]:
        """What a student is trained with, `alone` first, then methods, then controls."""
        chosen = self.students[student].methods
        every = [ALONE, *self.methods, *CONTROLS]
        return list(dict.fromkeys(name for name in every if chosen is None or name in (ALONE, *chosen)))

    def train_settings(self, student: str, method: str, seed: int) -> TrainSettings:
        """How a student is trained with a method."""
        own = self.students[student].train
        values = {**own.model_dump(), **self.method(method).train, "seed": seed}
        return parse(type(own), values, where=f"methods.{method}.train")

    @model_validator(mode="after")
    def _makes_sense(self) -> QualityRecipe:
        """Refuse now what would otherwise stop the proof after hours of training."""
        problems = [*self._wrong_sources(), *self._wrong_methods(), *self._wrong_students()]
        known = [f"ndcg@{k}" for k in self.evaluate.cutoffs]
        if self.evaluate.metric not in known:
            problems.append(f"evaluate.metric is {self.evaluate.metric!r}; expected one of {', '.join(known)}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _wrong_sources(self) -> Iterator[str]:
        if (self.data is None) == (self.prepared is None):
            yield "give either data, a log to read, or prepared, a folder of prepared data"
        for name, stage in {"teacher": self.teacher, **self.other_teachers}.items():
            if isinstance(stage, SpeaksOnly):
                yield f"{name} of kind {stage.kind} speaks and is no model, so there is nothing to compare with"
        if SELF in self.other_teachers:
            yield f"other_teachers names one {SELF!r}, which means the student itself; call it something else"

    def _wrong_methods(self) -> Iterator[str]:
        if self.methods[self.main].distil is None:
            yield f"the first method, {self.main}, is what the controls copy; it needs distil"
        for name, method in self.methods.items():
            if method.teacher not in (None, SELF, *self.other_teachers):
                known = ", ".join([SELF, *self.other_teachers])
                yield f"methods.{name}.teacher {method.teacher!r} is unknown; known: {known}"
            if "seed" in method.train:
                yield f"methods.{name}.train.seed: seeds come from seeds and headline_seeds"
            unknown = sorted(set(method.train) - set(TrainSettings.model_fields))
            if unknown:
                yield f"methods.{name}.train: unknown setting {unknown[0]!r}"

    def _wrong_students(self) -> Iterator[str]:
        known = [*dict.fromkeys([*self.methods, *CONTROLS])]
        for name, student in self.students.items():
            for method in student.methods or ():
                if method not in known:
                    yield f"students.{name}.methods names {method!r}; known: {', '.join(known)}"
            for method in student.headline:
                if method not in self.method_names(name):
                    yield f"students.{name}.headline names {method!r}, which is not among its methods"
            if student.train.seed:
                yield f"students.{name}.train.seed: seeds come from seeds and headline_seeds"
