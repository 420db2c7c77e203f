"""The teachers of a proof and what is taken out of them, each made once and shared by all cells."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilrec import __version__
from distilrec.encode.items import digest_of_encoders
from distilrec.errors import ArtifactError, SettingsError
from distilrec.files import sha256_of_file, sha256_of_value
from distilrec.knowledge import Knowledge, KnowledgeSource
from distilrec.run import stages
from distilrec.run.folder import RunFolder
from distilrec.run.quality.settings import QualityRecipe
from distilrec.run.stages import Prepared
from distilrec.run.teacher_stages import (
    EnsembleTeacher,
    SavedTeacher,
    TeacherStage,
    named_teachers,
    reads_text,
    reads_vectors,
    without_speed,
)
from distilrec.run.teachers import Lessons, fit_folds, fit_teacher, forget_checkpoint, open_teacher, take_knowledge
from distilrec.teach.settings import KnowledgeSettings


@dataclass(frozen=True)
class Source:
    """Somebody to learn from."""

    told: Mapping[str, Any]
    """All that decides what it says: part of the key of whatever is learnt from it."""
    make: Callable[[], Path]
    """Makes it, unless it is there; gives its folder."""


class Teaching:
    """Teachers and knowledge in a run folder."""

    def __init__(
        self, recipe: QualityRecipe, prepared: Prepared, data_key: Mapping[str, Any], folder: RunFolder, *, quiet: bool
    ) -> None:
        self.recipe, self.prepared, self.data_key = recipe, prepared, data_key
        self.folder, self.quiet = folder, quiet

    def source(self, name: str | None, *, folds: int = 0) -> Source:
        """A teacher of the recipe; none is the main one. With folds, one more for each fold of the users."""
        stage = self.recipe.teacher if name is None else self.recipe.other_teachers[name]
        saved = any(isinstance(member, SavedTeacher) for _, member in named_teachers(stage))
        if folds and saved:
            raise SettingsError(
                f"knowledge.folds is {folds}, and the teacher is saved, so it cannot be trained without some users; "
                "name a folder that was made with folds, or a teacher to train"
            )
        told = {"teacher": self._told(stage), "folds": folds}
        if isinstance(stage, SavedTeacher):
            return Source(told, lambda: stage.model)
        return Source(told, lambda: self._made(stage, told, folds))

    def _told(self, stage: TeacherStage) -> dict[str, Any]:
        """A saved teacher is what its files are, wherever they lie."""
        if isinstance(stage, SavedTeacher):
            return {"saved": [sha256_of_file(path) for path in _files_of(stage.model)]}
        if isinstance(stage, EnsembleTeacher):
            return {"members": [self._told(member) for member in stage.members], "weights": stage.weights}
        encode = self.recipe.encode
        return {
            "stage": without_speed(stage.model_dump(mode="json")),
            "data": self.data_key,
            "validation": [self.recipe.evaluate.metric, self.recipe.evaluate.exclude_history],
            "encode": self._vectors_told() if reads_vectors(stage) else None,
            "template": encode.templates[0] if reads_text(stage) else None,
        }

    def _vectors_told(self) -> dict[str, Any]:
        settings = self.recipe.encode
        return {
            "catalogue": self.prepared.interactions.catalogue_digest(),
            "encoder": digest_of_encoders(settings, quiet=self.quiet),
            **settings.model_dump(mode="json", exclude={"model", "token_budget", "device"}),
        }

    def _made(self, stage: TeacherStage, told: Mapping[str, Any], folds: int) -> Path:
        lessons = Lessons(
            self.prepared,
            self._vectors() if reads_vectors(stage) else None,
            self.recipe.encode.templates[0],
            stages.validator(self.prepared, self.recipe.evaluate),
            exclude_history=self.recipe.evaluate.exclude_history,
        )
        whole = self._made(stage, {**told, "folds": 0}, 0) if folds else None

        def work(folder: Path) -> None:
            if whole is None:
                fit_teacher(stage, lessons, folder, quiet=self.quiet)
            else:
                shutil.copytree(whole / "artefact", folder / "artefact", dirs_exist_ok=True)
                shutil.copy(whole / "training.json", folder)
                fit_folds(stage, lessons, folder, folds=folds, quiet=self.quiet)
            forget_checkpoint(folder)

        return self.stage("teachers", told, work)

    def _vectors(self) -> Path:
        def work(folder: Path) -> None:
            stages.encode(self.prepared, self.recipe.encode, folder, quiet=self.quiet)

        return self.stage("vectors", self._vectors_told(), work)

    def knowledge_told(self, source: Source, settings: KnowledgeSettings, *, max_length: int) -> dict[str, Any]:
        """All that decides what knowledge holds."""
        chosen = settings.model_dump(mode="json", exclude={"source", "memory_mb", "folds"})
        return {**source.told, "max_length": max_length, **(chosen if settings.source == "disk" else {"live": True})}

    def knowledge(self, source: Source, settings: KnowledgeSettings, *, max_length: int) -> KnowledgeSource:
        """What is taken out of a teacher, on disk unless the settings want it live."""
        teacher = source.make()
        if settings.source == "live":
            return open_teacher(teacher, self.prepared, max_length)

        def work(folder: Path) -> None:
            take_knowledge(
                open_teacher(teacher, self.prepared, max_length),
                self.prepared,
                folder,
                max_length=max_length,
                settings=settings,
                quiet=self.quiet,
            )

        told = {"data": self.data_key, **self.knowledge_told(source, settings, max_length=max_length)}
        return Knowledge.open(self.stage("knowledge", told, work))

    def stage(self, name: str, told: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """Something shared, in a folder named by all that decides it, so that changed settings replace nothing."""
        place = f"{name}/{short_key(told)}"
        if (self.folder.path / place).is_dir():  # it is whole, since it has its name; nobody is to wait for a lock
            return self.folder.path / place
        with self.folder.locked():
            return self.folder.stage(place, told, work)


def short_key(told: Mapping[str, Any]) -> str:
    """The name of a folder for something that these values decide."""
    return sha256_of_value({"version": __version__, **told})[:16]


def _files_of(teacher: Path) -> list[Path]:
    """The files that, by the digests in them, tell a saved teacher from every other one."""
    config = teacher / "artefact" / "config.json"
    if not config.is_file():
        raise ArtifactError(
            f"{config} does not exist; expected the folder of a finished teacher. Make it first "
            "(`make bench-teachers`, `distilrec teach`), or name another"
        )
    return [config, *sorted(teacher.glob("folds/folds.json")), *sorted(teacher.glob("folds/*/artefact/config.json"))]
