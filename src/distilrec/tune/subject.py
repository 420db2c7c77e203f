"""What is to be compressed: a student, the data it is judged by, and what it was distilled by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from distilrec.artifact import CONFIG
from distilrec.data.batches import Windows
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import ArtifactError, SettingsError
from distilrec.files import sha256_of_file
from distilrec.knowledge import Knowledge, KnowledgeSource
from distilrec.recommender import Recommender
from distilrec.run.advantage import advantage
from distilrec.run.pipeline import ALONE, TEACHER
from distilrec.run.recipe import EvaluateStage, Recipe, load_recipe
from distilrec.run.stages import Prepared, check_same_catalogue, load_prepared, training_of
from distilrec.run.teacher_stages import KnowledgeTeacher
from distilrec.run.teachers import open_knowledge, open_model, open_teacher
from distilrec.types import FloatArray

Teacher = Literal["itself", "run"]
"""Of points that are trained: the student as it was, or whatever taught it."""

_SHARE_OF_EPOCHS = 0.375  # training goes on from a student that is good already


@dataclass(frozen=True)
class Subject:
    """A student with all that is needed to train and to judge it once more."""

    artefact: Path
    recommender: Recommender
    prepared: Prepared
    evaluate: EvaluateStage
    """How it is judged."""
    train: TrainSettings
    """How it is trained once more; a candidate may want smaller steps."""
    knowledge: KnowledgeSource | Literal["itself"] = "itself"
    """Whom points that are trained learn from."""
    distil: DistilSettings | None = None
    advantage: FloatArray | None = None

    @property
    def digest(self) -> str:
        """Of its weights, settings and catalogue."""
        return sha256_of_file(self.artefact / CONFIG)


def subject_of(
    path: Path,
    *,
    data: Path | None = None,
    knowledge: Sequence[Path] = (),
    epochs: int | None = None,
    teacher: Teacher = "itself",
) -> Subject:
    """The student of a finished run, or an artefact with prepared data, and knowledge where there is some.

    Args:
        path: a run's folder, or an artefact.
        data: prepared data; for an artefact, since a run has its own.
        knowledge: for an artefact, folders of knowledge to train it with in place of itself.
        epochs: of each training; none takes three eighths of those that a run's student had, 22 for an artefact.
        teacher: of a run's student; `run` is what it was distilled by.

    Raises:
        ArtifactError: there is no student, or it ranks another catalogue.
        SettingsError: data is missing, or given twice, or there is no run whose teacher could be asked.
    """
    if (path / CONFIG).is_file():
        if teacher == "run":
            raise SettingsError(f"{path} is a model without its run; give what its teacher said: --knowledge FOLDER")
        return _of_artefact(path, data, knowledge, epochs)
    if not (path / "recipe.yaml").is_file():
        raise ArtifactError(f"{path} is neither a run's folder nor a saved model; expected what distilrec run wrote")
    if data is not None or knowledge:
        raise SettingsError(f"{path} is a run, which has its own data and knowledge; leave out --data and --knowledge")
    if not (path / "artefact" / CONFIG).is_file():
        raise ArtifactError(
            f"{path} has no distilled student yet; finish it first: distilrec run {path / 'recipe.yaml'} --out {path}"
        )
    return _of_run(path, epochs, teacher)


def _of_artefact(path: Path, data: Path | None, knowledge: Sequence[Path], epochs: int | None) -> Subject:
    if data is None:
        raise SettingsError(
            f"{path} is a model without its data; give the prepared data that it was trained on: --data FOLDER"
        )
    recommender, prepared = _read(path, data)
    source = open_knowledge(list(knowledge), None, prepared, max_length=recommender.max_length or 0)
    distil = None if source is None else DistilSettings()
    train = _again(TrainSettings(), epochs)
    return _checked(Subject(path, recommender, prepared, EvaluateStage(), train, source or "itself", distil))


def _of_run(path: Path, epochs: int | None, teacher: Teacher) -> Subject:
    recipe = load_recipe(path / "recipe.yaml")
    recommender, prepared = _read(path / "artefact", path / "data")
    train = _again(recipe.student.train.with_changes(seed=recipe.seeds[0]), epochs)
    if teacher == "itself":
        return Subject(path / "artefact", recommender, prepared, recipe.evaluate, train)
    source = _knowledge_of(path, recipe, prepared)
    heard = _advantage_of(path, recipe, prepared) if recipe.distil.measures_advantage else None
    found = Subject(path / "artefact", recommender, prepared, recipe.evaluate, train, source, recipe.distil, heard)
    return _checked(found)


def _read(artefact: Path, data: Path) -> tuple[Recommender, Prepared]:
    recommender, prepared = Recommender.from_pretrained(artefact), load_prepared(data)
    check_same_catalogue(recommender, prepared, str(artefact))
    return recommender, prepared


def _again(train: TrainSettings, epochs: int | None) -> TrainSettings:
    """Fewer epochs, with steps that fall to none."""
    wanted = epochs or max(1, round(_SHARE_OF_EPOCHS * train.epochs))
    changed = train.with_changes(epochs=wanted, patience=wanted, schedule="cosine", warmup_steps=0)
    return training_of(changed, taught=True)


def _knowledge_of(path: Path, recipe: Recipe, prepared: Prepared) -> KnowledgeSource:
    """What the run's student learnt from: folders elsewhere, the run's own, or its teacher itself."""
    stage, max_length = recipe.teacher, recipe.student.model.max_length
    if isinstance(stage, KnowledgeTeacher):
        found = open_knowledge(stage.folders, None, prepared, max_length=max_length, weights=stage.weights)
        assert found is not None, "a recipe names one folder at least"
        return found
    if recipe.knowledge.source == "live" and (path / TEACHER).is_dir():
        return open_teacher(path / TEACHER, prepared, max_length, relation_heads=recipe.knowledge.relation_heads)
    return Knowledge.open(path / "knowledge")


def _advantage_of(path: Path, recipe: Recipe, prepared: Prepared) -> FloatArray:
    alone = open_model(path / ALONE / f"seed-{recipe.seeds[0]}", prepared)
    teacher, max_length = open_model(path / TEACHER, prepared), recipe.student.model.max_length
    return advantage(teacher, alone, prepared, recipe.evaluate, max_length=max_length)


def _checked(subject: Subject) -> Subject:
    """Refuse knowledge of other windows now, not in the first training."""
    max_length = subject.recommender.max_length
    if subject.knowledge != "itself" and max_length is not None:
        windows = Windows.cut(subject.prepared.split.train, max_length=max_length)
        subject.knowledge.check_belongs(windows_digest=windows.digest(), n_items=subject.prepared.interactions.n_items)
    return subject
