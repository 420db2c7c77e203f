"""Making a teacher of any kind, and taking its knowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from distilrec.data.batches import Windows
from distilrec.distil.loop import TrainReport, Validate
from distilrec.distil.settings import TrainSettings
from distilrec.encode.templates import default_template, fill
from distilrec.encode.whiten import project
from distilrec.errors import ArtifactError, SettingsError
from distilrec.files import read_json, write_json
from distilrec.knowledge import Knowledge, KnowledgeSource, SeveralTeachers
from distilrec.models.kinds import Model
from distilrec.models.popularity import Popularity
from distilrec.recommender import Recommender
from distilrec.run.folder import RunFolder
from distilrec.run.recipe import EvaluateStage
from distilrec.run.stages import Prepared, check_same_catalogue, load_vectors, train_and_save, validator
from distilrec.run.teacher_stages import (
    EASETeacher,
    EnsembleTeacher,
    IdsTeacher,
    ItemKNNTeacher,
    ItemLanguageModelTeacher,
    LightGCNTeacher,
    OutsideTeacher,
    SavedTeacher,
    SequenceModelTeacher,
    SpeaksOnly,
    TeacherStage,
    TextAndIdsTeacher,
    TextLanguageModelTeacher,
    max_length_of,
)
from distilrec.seeding import derive_seed
from distilrec.teach.ensemble import fit_ensemble, folds_of_users, without_fold
from distilrec.teach.extract import extract
from distilrec.teach.folds import FoldedTeacher
from distilrec.teach.outside import import_rankings
from distilrec.teach.outside_vectors import read_item_vectors
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import as_teacher
from distilrec.types import FloatArray

_FOLDS = "folds"


@dataclass(frozen=True)
class Lessons:
    """What a teacher is made from."""

    prepared: Prepared
    vectors: Path | None
    """The folder of the encoder's vectors, for teachers that read them."""
    template: str | None
    """What a teacher that reads text reads of an item; none takes the columns that look like text."""
    validate: Validate
    exclude_history: bool = True
    """Whether validation leaves items of the history out."""

    def content(self, settings: Any) -> FloatArray:  # noqa: ANN401  (a Content)
        """The encoder's vectors, reduced, [N, F]."""
        if self.vectors is None:
            raise SettingsError(f"a teacher of kind {settings.kind} reads item vectors; give the folder that has them")
        vectors, n_items = load_vectors(self.vectors), self.prepared.interactions.n_items
        if len(vectors) != n_items:
            raise ArtifactError(
                f"there are vectors of {len(vectors):,} items, and the catalogue has {n_items:,}; "
                "encode the catalogue of this prepared data"
            )
        try:
            return project(vectors, width=settings.content_width, kind=settings.content_projection)
        except SettingsError as error:
            raise SettingsError(f"teacher.content_width: {error}") from None

    def texts(self) -> list[str]:
        """What is read of each item, [N]."""
        items = self.prepared.interactions.items
        return fill(items, self.template if self.template is not None else default_template(items))

    def without(self, folds: np.ndarray[Any, Any], fold: int) -> Lessons:
        """The same, but that the users of one fold are not trained on."""
        split = self.prepared.split
        kept = replace(split, train=without_fold(split.train, folds, fold))
        return replace(self, prepared=replace(self.prepared, split=kept))


def fit_teacher(
    stage: TeacherStage, lessons: Lessons, folder: Path, *, quiet: bool = False, name: str = "Teacher"
) -> float:
    """Make a teacher and write its artefact to `folder`; return its validation score.

    Interrupted, the same call goes on where it stopped.
    """
    if isinstance(stage, SpeaksOnly):
        raise SettingsError(f"a teacher of kind {stage.kind} says what it says; there is no model that could be made")
    if isinstance(stage, EnsembleTeacher):
        return _fit_ensemble(stage, lessons, folder, quiet=quiet)
    if isinstance(stage, SavedTeacher):
        return _save(open_model(stage.model, lessons.prepared), lessons, folder)
    if isinstance(stage, EASETeacher | ItemKNNTeacher):
        return _save(_solved(stage, lessons.prepared), lessons, folder)
    return _trained(stage, lessons, folder, quiet=quiet, name=name).best_score


def _trained(stage: Any, lessons: Lessons, folder: Path, *, quiet: bool, name: str) -> TrainReport:  # noqa: ANN401
    """Everything that the training loop trains."""
    train: TrainSettings = stage.train
    model = untrained(stage, lessons)
    windows = Windows.cut(lessons.prepared.split.train, max_length=max_length_of(stage) or 1)
    return train_and_save(
        model, windows, lessons.prepared, folder, train, validate=lessons.validate, name=name, quiet=quiet
    )


def untrained(stage: TeacherStage, lessons: Lessons) -> Any:  # noqa: ANN401
    """A network before its training: what was pretrained of it, and first weights by the stage's seed."""
    if type(stage) not in _BUILD:
        raise SettingsError(f"a teacher of kind {stage.kind} is no network that is trained")
    torch.manual_seed(derive_seed(cast(Any, stage).train.seed, "weights"))
    return _BUILD[type(stage)](stage, lessons)


def _text_and_ids(stage: TextAndIdsTeacher, lessons: Lessons) -> Any:  # noqa: ANN401
    from distilrec.teach.text_and_ids import build_teacher

    return build_teacher(stage.model, lessons.content(stage))


def _sequence_model(stage: SequenceModelTeacher, lessons: Lessons) -> Any:  # noqa: ANN401
    from distilrec.models.students import build_student
    from distilrec.models.tables import ContentTable

    content = lessons.content(stage)
    table = ContentTable(content, stage.model.width, free=stage.free)
    return build_student(stage.model, len(content), table=table, sequences=lessons.prepared.split.train)


def _ids(stage: IdsTeacher, lessons: Lessons) -> Any:  # noqa: ANN401
    from distilrec.models.transformer import Transformer, TransformerSettings

    shape = TransformerSettings(**{name: getattr(stage.model, name) for name in TransformerSettings.model_fields})
    return Transformer(shape, lessons.prepared.interactions.n_items)


def _lightgcn(stage: LightGCNTeacher, lessons: Lessons) -> Any:  # noqa: ANN401
    from distilrec.models.lightgcn import LightGCN

    return LightGCN(stage.model, lessons.prepared.split.train, n_items=lessons.prepared.interactions.n_items)


def _item_language_model(stage: ItemLanguageModelTeacher, lessons: Lessons) -> Any:  # noqa: ANN401
    from distilrec.teach.language_model import build_item_language_model

    return build_item_language_model(stage.model, lessons.content(stage))


def _text_language_model(stage: TextLanguageModelTeacher, lessons: Lessons) -> Any:  # noqa: ANN401
    from distilrec.teach.text_language_model import build_text_language_model

    train, n_items = lessons.prepared.split.train, lessons.prepared.interactions.n_items
    return build_text_language_model(stage.model, lessons.texts(), counts=np.bincount(train.values, minlength=n_items))


_BUILD: Mapping[type, Callable[[Any, Lessons], Any]] = {
    TextAndIdsTeacher: _text_and_ids,
    SequenceModelTeacher: _sequence_model,
    IdsTeacher: _ids,
    LightGCNTeacher: _lightgcn,
    ItemLanguageModelTeacher: _item_language_model,
    TextLanguageModelTeacher: _text_language_model,
}


def _solved(stage: EASETeacher | ItemKNNTeacher, prepared: Prepared) -> Model:
    """Everything that is worked out at once."""
    from distilrec.models.ease import EASE
    from distilrec.models.item_knn import ItemKNN

    train, n_items = prepared.split.train, prepared.interactions.n_items
    if isinstance(stage, EASETeacher):
        return EASE.fit(train, n_items=n_items, settings=stage.model)
    return ItemKNN.fit(train, n_items=n_items, settings=stage.model)


def _fit_ensemble(stage: EnsembleTeacher, lessons: Lessons, folder: Path, *, quiet: bool) -> float:
    """Members one after the other, each kept once it is done, then their weights on validation."""
    inside = RunFolder(folder, say=_silent if quiet else print)
    members: list[Model] = []
    for number, member in enumerate(stage.members):
        if isinstance(member, SavedTeacher):
            members.append(open_model(member.model, lessons.prepared))
            continue

        def work(place: Path, member: Any = member, number: int = number) -> None:  # noqa: ANN401
            score = fit_teacher(member, lessons, place, quiet=quiet, name=f"Member {number} ({member.kind})")
            write_json(place / "validation.json", {"score": score})
            forget_checkpoint(place)

        done = inside.stage(f"members/{number}", {"member": member.model_dump(mode="json")}, work)
        members.append(open_model(done, lessons.prepared))
    ensemble = fit_ensemble(
        members, lessons.prepared.split.validation, weights=stage.weights, exclude_history=lessons.exclude_history
    )
    return _save(cast(Model, ensemble), lessons, folder)


def _save(model: Model, lessons: Lessons, folder: Path) -> float:
    score = lessons.validate(cast(Any, model))
    Recommender(model, lessons.prepared.catalogue()).save_pretrained(folder / "artefact")
    write_json(folder / "training.json", {"epochs": [], "best_epoch": 0, "best_score": score})
    return score


def fit_folds(stage: TeacherStage, lessons: Lessons, folder: Path, *, folds: int, quiet: bool = False) -> None:
    """For cross-fitting: the same teacher once more for each fold of users, trained without them.

    What such a teacher says of a user it has never seen is not over-confident. Source: cross-fitting, Chernozhukov et
    al. 2018; for distillation Dao et al. 2021.
    """
    n_sequences = len(lessons.prepared.split.train)
    of_users = folds_of_users(n_sequences, folds, seed=0)
    inside = RunFolder(folder, say=_silent if quiet else print)
    for fold in range(folds):

        def work(place: Path, fold: int = fold) -> None:
            name = f"Teacher without fold {fold + 1} of {folds}"
            fit_teacher(stage, lessons.without(of_users, fold), place, quiet=quiet, name=name)
            forget_checkpoint(place)

        inside.stage(f"{_FOLDS}/{fold}", {"stage": stage.model_dump(mode="json"), "of": folds}, work)
    write_json(folder / _FOLDS / "folds.json", {"folds": folds, "of_users": of_users.tolist()})


def open_teacher(folder: Path, prepared: Prepared, max_length: int, *, relation_heads: int = 1) -> KnowledgeSource:
    """The teacher of a folder; one for each fold where there are several.

    `relation_heads` is into how many heads a layer is split for its relations.
    """
    if not (folder / _FOLDS / "folds.json").is_file():
        return as_teacher(open_model(folder, prepared), relation_heads=relation_heads)
    told = read_json(folder / _FOLDS / "folds.json")
    windows = Windows.cut(prepared.split.train, max_length=max_length)
    of_windows = np.asarray(told["of_users"], dtype=np.int64)[windows.owners]
    models = [open_model(folder / _FOLDS / str(fold), prepared) for fold in range(told["folds"])]
    return FoldedTeacher([as_teacher(model, relation_heads=relation_heads) for model in models], of_windows)


def kind_of_teacher(folder: Path) -> str:
    """Which kind of model a teacher's folder, or an artefact, holds."""
    return str(read_json(_artefact(folder) / "config.json")["model"]["kind"])


def _artefact(folder: Path) -> Path:
    return folder / "artefact" if (folder / "artefact").is_dir() else folder


def open_model(folder: Path, prepared: Prepared) -> Model:
    """The model of a teacher's folder, or of an artefact."""
    recommender = Recommender.from_pretrained(_artefact(folder))
    check_same_catalogue(recommender, prepared, "the teacher")
    return recommender.model


def take_knowledge(
    teacher: KnowledgeSource,
    prepared: Prepared,
    folder: Path,
    *,
    max_length: int,
    settings: KnowledgeSettings | None = None,
    about: Mapping[str, Any] | None = None,
    score: float | None = None,
    quiet: bool = False,
) -> Knowledge:
    """Write what a teacher says about every training position.

    Args:
        score: the teacher's NDCG@10 on validation, if it is known; a warning is kept when popularity does better.
    """
    windows = Windows.cut(prepared.split.train, max_length=max_length)
    return extract(
        teacher,
        folder,
        make_batch=windows.batch,
        positions=windows.positions,
        windows_digest=windows.digest(),
        n_items=prepared.interactions.n_items,
        settings=settings,
        about={
            "teacher": dict(about or {}),
            "max_length": max_length,
            "data_digest": prepared.interactions.digest(),
            "catalogue_digest": prepared.interactions.item_ids_digest(),
        },
        users=prepared.split.train,
        warnings=[] if score is None else worse_than_popularity(score, prepared),
        quiet=quiet,
    )


def import_knowledge(
    stage: OutsideTeacher, prepared: Prepared, folder: Path, *, max_length: int
) -> tuple[Knowledge, list[str]]:
    """Make knowledge of what others ranked; return it and what was read, for people."""
    vectors, told = None, []
    if stage.vectors is not None:
        item_ids = prepared.interactions.items["item_id"]
        vectors, about = read_item_vectors(stage.vectors, item_ids, unknown=stage.reading.unknown)
        told = about.lines()
    knowledge, report = import_rankings(
        stage.rankings,
        folder,
        interactions=prepared.interactions,
        split=prepared.split,
        max_length=max_length,
        settings=stage.reading,
        item_vectors=vectors,
    )
    return knowledge, [*report.lines(), *told]


def worse_than_popularity(score: float, prepared: Prepared) -> list[str]:
    """A warning when a teacher's NDCG@10 on validation is below that of recommending what is popular."""
    popularity = Popularity.fit(prepared.split.train, n_items=prepared.interactions.n_items)
    usual = validator(prepared, EvaluateStage())(cast(Any, popularity))
    if score >= usual:
        return []
    return [
        f"on validation the teacher's NDCG@10 is {score:.4f}, and that of popularity {usual:.4f}: there is nothing to "
        "learn from it. Train it longer, or otherwise"
    ]


def open_knowledge(
    folders: Path | Sequence[Path] | None,
    teacher: Path | None,
    prepared: Prepared,
    *,
    max_length: int,
    weights: Sequence[float] | None = None,
) -> KnowledgeSource | None:
    """Knowledge from one folder or several, or from a teacher's folder on the fly, or none.

    `weights` are the folders' shares of the mixture; none gives each the same.
    """
    folders = [folders] if isinstance(folders, Path) else list(folders or ())
    if (folders or weights) and teacher is not None:
        raise SettingsError("both a knowledge folder and a teacher were given; choose one")
    if teacher is not None:
        return open_teacher(teacher, prepared, max_length)
    found = [Knowledge.open(folder) for folder in folders]
    for knowledge in found:
        knowledge.check_catalogue(prepared.interactions.item_ids_digest())
    if len(found) > 1 or weights:
        return SeveralTeachers(found, weights or [1 / len(found)] * len(found))
    return found[0] if found else None


def forget_checkpoint(folder: Path) -> None:
    """Delete what a finished training is resumed from, once nothing that comes after it can be interrupted."""
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)


def score_of(folder: Path) -> float:
    """The validation score of a finished teacher."""
    return float(read_json(folder / "training.json")["best_score"])


def _silent(_: str) -> None:
    """Says nothing."""
