"""What a recipe's distillation wants of its teacher, held against what will be taken out of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from distilrec.distil.schedules import bounds
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import SettingsError
from distilrec.models.taps import Tap
from distilrec.run.teacher_stages import (
    EASETeacher,
    EnsembleTeacher,
    ItemKNNTeacher,
    KnowledgeTeacher,
    OutsideTeacher,
    SavedTeacher,
    SpeaksOnly,
    TeacherStage,
    named_teachers,
    width_of,
)
from distilrec.teach.settings import KnowledgeSettings

_NO_LAYERS = SpeaksOnly | EASETeacher | ItemKNNTeacher | EnsembleTeacher
_SETTING_OF = {"hidden": "hidden", "attention": "attention", "relation": "relations"}


def missing(
    distil: DistilSettings, teacher: TeacherStage, knowledge: KnowledgeSettings, train: TrainSettings
) -> Iterator[str]:
    """What this teacher and this knowledge will not give, in sentences that say what to do.

    A teacher that was saved before may be of any kind, and knowledge may hold anything, so what those lack is seen
    when they are opened, before the student is trained.
    """
    for who, need in () if isinstance(teacher, KnowledgeTeacher) else _needs(distil, train):
        if need == "soft_labels":
            yield from _soft_labels(who, teacher, knowledge)
        elif need == "item_vectors":
            yield from _item_vectors(who, teacher)
        else:
            yield from _column(who, need, teacher, knowledge)
    yield from _model(distil, teacher)
    if bounds(distil.pull)[1] > 0 and not distil.layers:
        yield "distil.pull draws the layers that distil.layers names, and it names none; name some, or leave pull out"


def _needs(distil: DistilSettings, train: TrainSettings) -> Iterator[tuple[str, str]]:
    """Who needs what."""
    for loss in distil.losses:
        yield from ((f"the loss {loss.kind}", need) for need in sorted(loss.needs))  # type: ignore[attr-defined]
    if distil.trust is not None:
        yield "distil.trust", "soft_labels"
    if distil.curriculum is not None and distil.curriculum.by == "teacher_loss":
        yield "distil.curriculum by teacher_loss", "soft_labels"
    if distil.auxiliary_head:
        yield "distil.auxiliary_head", "soft_labels"
    if train.augment is not None and train.augment.needs_neighbours:
        yield "student.train.augment, to substitute or insert similar items,", "item_vectors"


def _soft_labels(who: str, teacher: TeacherStage, knowledge: KnowledgeSettings) -> Iterator[str]:
    kept = isinstance(teacher, SpeaksOnly) or knowledge.source == "live" or knowledge.soft_labels != "none"
    if not kept:
        yield (
            f"{who} needs the teacher's soft labels, and knowledge.soft_labels is none; set it to whole, or to both "
            "where lists are read too"
        )


def _item_vectors(who: str, teacher: TeacherStage) -> Iterator[str]:
    if isinstance(teacher, OutsideTeacher) and teacher.vectors is None:
        yield f"{who} needs the teacher's item vectors, and this one has none; give some as teacher.vectors"
    elif not isinstance(teacher, OutsideTeacher) and not any(_has_table(one) for _, one in named_teachers(teacher)):
        yield f"{who} needs the teacher's item vectors, and a teacher of kind {teacher.kind} has none; take another one"


def _has_table(teacher: Any) -> bool:  # noqa: ANN401  (any teacher)
    return isinstance(teacher, SavedTeacher) or width_of(teacher) is not None or teacher.kind == "text_language_model"


def _column(who: str, column: str, teacher: TeacherStage, knowledge: KnowledgeSettings) -> Iterator[str]:
    if isinstance(teacher, _NO_LAYERS):
        yield (
            f"{who} needs {column} of the teacher, and a teacher of kind {teacher.kind} has no layers to look into; "
            "take one network as the teacher, or leave the loss out"
        )
    elif knowledge.source == "live":
        return  # whatever is asked for
    elif column == "history_vectors" and knowledge.soft_labels not in ("whole", "both"):
        yield f"{who} needs history_vectors of the teacher; set knowledge.soft_labels to whole or both"
    elif column != "history_vectors" and column not in {tap.column for tap in knowledge.taps}:
        yield f"{who} needs {column} of the teacher, which is not taken out of it; {_to_add(column)}"


def _to_add(column: str) -> str:
    try:
        kind = Tap.parse(column).kind
    except SettingsError as error:
        return str(error)
    return f"add {_SETTING_OF[kind]}: [{column.partition('.')[2]}] under knowledge, or set knowledge.source to live"


def _model(distil: DistilSettings, teacher: TeacherStage) -> Iterator[str]:
    if distil.layers and isinstance(teacher, _NO_LAYERS):
        yield (
            f"distil.layers copies layers of the teacher, and a teacher of kind {teacher.kind} has none; take one "
            "network as the teacher, or leave layers out"
        )
    if distil.measures_advantage and isinstance(teacher, SpeaksOnly):
        yield (
            f"distil.trust.advantage is measured by what the teacher ranks on validation, and a teacher of kind "
            f"{teacher.kind} is no model that could; set it to 0"
        )
