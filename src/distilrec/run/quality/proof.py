"""Doing a proof: every cell trained once and judged once, in a folder named by all that decides it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from distilrec.errors import SettingsError
from distilrec.knowledge import Knowledge, KnowledgeSource
from distilrec.knowledge.shuffled import ShuffledKnowledge
from distilrec.knowledge.table_only import TableOnly
from distilrec.models.kinds import Model
from distilrec.recommender import Recommender
from distilrec.run import stages
from distilrec.run.advantage import advantage
from distilrec.run.folder import RunFolder, Say
from distilrec.run.quality.cells import Cell
from distilrec.run.quality.judging import Judged, Outcome, judge_to, judging_told, load_judged, load_outcome
from distilrec.run.quality.settings import ALONE, SELF, Method, QualityRecipe
from distilrec.run.quality.teaching import Source, Teaching, short_key
from distilrec.run.stages import Prepared
from distilrec.run.teacher_stages import SPEED_ONLY
from distilrec.run.teachers import forget_checkpoint
from distilrec.teach.settings import KnowledgeSettings


class Proof:
    """The cells of a recipe in a folder. Several processes may work in one: each takes cells that are free."""

    def __init__(self, recipe: QualityRecipe, out: Path, *, say: Say = print, quiet: bool = False) -> None:
        self.recipe, self.out, self.say, self.quiet = recipe, out, say, quiet
        self.shared = RunFolder(out / "shared", say=self._indented)
        self.prepared = self._prepare()
        self.data_key = {
            "interactions": self.prepared.interactions.digest(),
            "split": self.prepared.split.digest(),
        }
        self.teaching = Teaching(recipe, self.prepared, self.data_key, self.shared, quiet=quiet)

    def _indented(self, line: str) -> None:
        self.say(f"  {line}")

    def _prepare(self) -> Prepared:
        if self.recipe.prepared is not None:
            return stages.load_prepared(self.recipe.prepared)
        data = self.recipe.data
        assert data is not None  # the recipe has seen to it
        interactions, lines = stages.read_log(data)
        told = {"source": interactions.digest(), **data.model_dump(mode="json", include={"filter", "split"})}
        place = self.out / "shared" / "data" / short_key(told)
        if not place.is_dir():
            with self.shared.locked():
                self.shared.stage(
                    f"data/{place.name}",
                    told,
                    lambda folder: self._tell([*lines, *stages.prepare(interactions, data, folder)]),
                )
        return stages.load_prepared(place)

    def _tell(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._indented(line)

    def told(self, cell: Cell) -> dict[str, Any]:
        """All that decides where a cell's training ends; two cells with the same are one."""
        student, method = self.recipe.students[cell.student], self.recipe.method(cell.method)
        train = self.recipe.train_settings(cell.student, cell.method, cell.seed)
        train = stages.training_of(train, taught=method.distil is not None)
        told: dict[str, Any] = {
            "data": self.data_key,
            "model": student.model.model_dump(mode="json"),
            "train": train.model_dump(mode="json", exclude=SPEED_ONLY),
            "validation": [self.recipe.evaluate.metric, self.recipe.evaluate.exclude_history],
        }
        if method.distil is None:
            return told
        source, settings = self._source(cell, method), self._knowledge_settings(method)
        if method.distil.measures_advantage:
            told["measured_against"] = self.told(_alone(cell))
        return told | {
            "distil": method.distil.model_dump(mode="json"),
            "knowledge": self.teaching.knowledge_told(source, settings, max_length=student.model.max_length),
            "shuffled": method.shuffled,
            "table_only": method.table_only,
        }

    def folder(self, cell: Cell) -> Path:
        """Where a cell lies."""
        return self.out / "cells" / short_key(self.told(cell))

    def work(self, cell: Cell) -> None:
        """Train and judge a cell, or what is left of that.

        Raises:
            FolderBusyError: another process works on it, or on the teacher or knowledge that it needs.
        """
        folder = RunFolder(self.folder(cell), say=self._indented)
        if not (folder.path / "trained").is_dir():
            taught = self._taught(cell)
            with folder.locked():
                folder.stage("trained", self.told(cell), lambda place: self._train(cell, place, **taught))
        with folder.locked():
            self._judge(folder, folder.path / "trained" / "artefact", {"cell": folder.path.name})

    def _train(self, cell: Cell, folder: Path, **taught: Any) -> None:  # noqa: ANN401  (what `_taught` gives)
        stages.train_student(
            self.recipe.students[cell.student].model,
            self.recipe.train_settings(cell.student, cell.method, cell.seed),
            self.prepared,
            folder,
            validate=stages.validator(self.prepared, self.recipe.evaluate),
            say=self._indented,
            quiet=self.quiet,
            **taught,
        )
        forget_checkpoint(folder)

    def _taught(self, cell: Cell) -> dict[str, Any]:
        """What `train_student` is told of the teacher, all of which is made before the cell is locked."""
        method = self.recipe.method(cell.method)
        if method.distil is None:
            return {}
        taught: dict[str, Any] = {"distil": method.distil, "knowledge": self._knowledge(cell, method)}
        if method.distil.layers or method.distil.measures_advantage:
            taught["teacher"] = _model_of(self._source(cell, method).make())
        if method.distil.measures_advantage:
            taught["advantage"] = advantage(
                taught["teacher"],
                _model_of(self._made_alone(cell)),
                self.prepared,
                self.recipe.evaluate,
                max_length=self.recipe.students[cell.student].model.max_length,
            )
        return taught

    def _knowledge(self, cell: Cell, method: Method) -> KnowledgeSource:
        found = self.teaching.knowledge(
            self._source(cell, method),
            self._knowledge_settings(method),
            max_length=self.recipe.students[cell.student].model.max_length,
        )
        if method.table_only:
            return TableOnly(found)
        if not method.shuffled:
            return found
        if not isinstance(found, Knowledge):
            raise SettingsError(f"{cell.method} shuffles what is on disk; set knowledge.source=disk for it")
        return ShuffledKnowledge(found, seed=cell.seed)

    def _knowledge_settings(self, method: Method) -> KnowledgeSettings:
        return method.knowledge or self.recipe.knowledge

    def _source(self, cell: Cell, method: Method) -> Source:
        if method.teacher != SELF:
            return self.teaching.source(method.teacher, folds=self._knowledge_settings(method).folds)
        return Source({"alone": self.told(_alone(cell))}, lambda: self._made_alone(cell))

    def _made_alone(self, cell: Cell) -> Path:
        """The folder of the same student trained alone from the same seed, which is trained if it is not yet."""
        alone = _alone(cell)
        if self.outcome(alone) is None:
            self.work(alone)
        return self.folder(alone) / "trained"

    def _judge(self, folder: RunFolder, artefact: Path, told: dict[str, Any]) -> Path:
        settings = self.recipe.evaluate
        return folder.stage(
            self._test,
            {**told, **judging_told(settings)},
            lambda place: judge_to(artefact, self.prepared, settings, place, k=self.recipe.cutoff),
        )

    @property
    def _test(self) -> str:
        """Other ways of judging lie beside this one."""
        return f"test-{short_key(judging_told(self.recipe.evaluate))}"

    def outcome(self, cell: Cell) -> Outcome | None:
        """What a cell came to; none while it is not done."""
        folder = self.folder(cell)
        done = (folder / "trained").is_dir() and (folder / self._test).is_dir()
        return load_outcome(cell, folder / "trained", folder / self._test) if done else None

    def judge_teachers(self) -> None:
        """Make and judge the teacher and the others of the recipe."""
        for name, source in self._sources.items():
            if self._teacher(name) is None:
                teacher = source.make()
                with self.shared.locked():
                    self._judge(
                        RunFolder(self._place(name), say=self._indented), teacher / "artefact", dict(source.told)
                    )

    def teachers(self) -> dict[str, Judged]:
        """What the teachers that are judged came to."""
        return {name: found for name in self._sources if (found := self._teacher(name)) is not None}

    def _teacher(self, name: str) -> Judged | None:
        done = self._place(name) / self._test
        return load_judged(self._sources[name].make(), done) if done.is_dir() else None

    def _place(self, name: str) -> Path:
        return self.out / "shared" / "judged" / short_key(self._sources[name].told)

    @cached_property
    def _sources(self) -> dict[str, Source]:
        names = {"teacher": None, **{name: name for name in self.recipe.other_teachers}}
        return {title: self.teaching.source(name) for title, name in names.items()}


def _alone(cell: Cell) -> Cell:
    return Cell(cell.student, ALONE, cell.seed)


def _model_of(folder: Path) -> Model:
    return Recommender.from_pretrained(folder / "artefact").model
