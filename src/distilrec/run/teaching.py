"""A teacher and its knowledge by themselves, outside of a run: what `distilrec teach` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distilrec.config import apply_overrides, parse
from distilrec.files import read_json
from distilrec.knowledge import Knowledge
from distilrec.run.ranked import RanksOnly, ranked_knowledge
from distilrec.run.recipe import EvaluateStage, TeacherAndKnowledge
from distilrec.run.stages import Prepared, validator
from distilrec.run.teacher_stages import max_length_of
from distilrec.run.teachers import (
    Lessons,
    fit_folds,
    fit_teacher,
    forget_checkpoint,
    open_teacher,
    take_knowledge,
)

_USUAL_LENGTH = 50  # of windows, for a teacher that reads histories of any length


def settings_from(overrides: Sequence[str]) -> TeacherAndKnowledge:
    """`--set` lines of `teach`: those that begin with `knowledge.` are the extraction's, the rest the teacher's."""
    values: dict[str, Any] = apply_overrides({}, overrides)
    knowledge = values.pop("knowledge", {})
    return parse(TeacherAndKnowledge, {"teacher": values, "knowledge": knowledge}, where="--set")


def teach(
    settings: TeacherAndKnowledge,
    prepared: Prepared,
    out: Path,
    *,
    vectors: Path | None = None,
    template: str | None = None,
    quiet: bool = False,
) -> tuple[str, Knowledge]:
    """Make a teacher in `out` and its knowledge in `out/knowledge`; return how it did, and the knowledge."""
    place = out / "knowledge"
    if isinstance(settings.teacher, RanksOnly):
        found, lines = ranked_knowledge(
            settings.teacher, prepared, place, max_length=_USUAL_LENGTH, template=template, quiet=quiet
        )
        return "\n".join(lines), found
    lessons = Lessons(prepared, vectors, template, validator(prepared, EvaluateStage()))
    score = fit_teacher(settings.teacher, lessons, out, quiet=quiet)
    if settings.knowledge.folds:
        fit_folds(settings.teacher, lessons, out, folds=settings.knowledge.folds, quiet=quiet)
    length = max_length_of(settings.teacher) or _USUAL_LENGTH
    knowledge = take_knowledge(
        open_teacher(out, prepared, length, relation_heads=settings.knowledge.relation_heads),
        prepared,
        place,
        max_length=length,
        settings=settings.knowledge,
        about={"kind": settings.teacher.kind, "validation": score},
        score=score,
        quiet=quiet,
    )
    forget_checkpoint(out)
    return told_of(out), knowledge


def told_of(folder: Path) -> str:
    """How a finished teacher did on validation, in words."""
    training = read_json(folder / "training.json")
    after = f" after epoch {training['best_epoch'] + 1}" if training["epochs"] else ""
    return f"best validation {training['best_score']:.5f}{after}"
