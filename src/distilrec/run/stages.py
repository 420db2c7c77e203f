"""The stages of a run as plain functions: settings and inputs in, a folder filled.

Each can be called by itself; `run.pipeline` joins them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from distilrec.config import parse
from distilrec.data.batches import Windows
from distilrec.data.filter import filter_interactions
from distilrec.data.interactions import Interactions
from distilrec.data.read import read
from distilrec.data.split import Split, SplitSettings, split
from distilrec.distil.initialise import principal_directions, start_from_teacher
from distilrec.distil.loop import TrainReport, Validate, train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.distil.weights import copy_layers
from distilrec.encode.items import encode_items
from distilrec.encode.settings import EncodeSettings
from distilrec.errors import ArtifactError, SettingsError
from distilrec.evaluate.evaluation import Evaluation, evaluate
from distilrec.evaluate.scoring import Watch
from distilrec.files import atomic_path, read_json, write_json
from distilrec.knowledge import KnowledgeSource
from distilrec.models.kinds import Model
from distilrec.models.product_form import ProductForm
from distilrec.models.students import StudentModel, build_student
from distilrec.recommender import POPULARITY_COLUMN, Recommender
from distilrec.run.folder import Say
from distilrec.run.recipe import BaselineSettings, DataSettings, EvaluateStage
from distilrec.seeding import derive_seed
from distilrec.types import Cases, FloatArray

_SPLIT, _CHECKPOINT, _TRAINING = "split.json", "checkpoint.safetensors", "training.json"
_VECTORS, _ENCODER = "vectors.npy", "encoder.json"
_NOT_AUGMENTED = (
    "train.augment: substitute and insert take items that a teacher finds similar; this student has no teacher, so "
    "they are left out"
)
_PREPARED_FILES = {"data.json", "events.parquet", "items.parquet", "users.parquet", _SPLIT, "stage.json"}


@dataclass(frozen=True)
class Prepared:
    """A log that is read, filtered and split."""

    interactions: Interactions
    split: Split

    def cases(self, name: str) -> Cases:
        """The cases of that name: test, validation, or last_event of a split by time."""
        known = {"test": self.split.test, "validation": self.split.validation, "last_event": self.split.last_event}
        if name not in known:
            raise SettingsError(f"cases {name!r} are unknown; choose test, validation or last_event")
        found = known[name]
        if found is None:
            raise SettingsError("only a split by time has last_event; prepare the data with --set split.kind=time")
        return found

    def catalogue(self) -> pl.DataFrame:
        """The items with how often each was chosen in training: what a `Recommender` needs."""
        counts = np.bincount(self.split.train.values, minlength=self.interactions.n_items)
        items = self.interactions.items
        others = [name for name in items.columns if name not in ("item_id", POPULARITY_COLUMN)]
        return items.select("item_id", pl.Series(POPULARITY_COLUMN, counts), *others)


def read_log(settings: DataSettings) -> tuple[Interactions, list[str]]:
    """Read and clean a log; return it and what was read, for people."""
    options = settings.model_dump(exclude={"path", "filter", "split"})
    interactions, report = read(settings.path, **{**options, "columns": options["columns"] or None})
    return interactions, report.lines()


def prepare(interactions: Interactions, settings: DataSettings, folder: Path) -> list[str]:
    """Filter and split a log; write it to `folder`, replacing older prepared data; return what was done, for people."""
    _refuse_other_files(folder)
    kept, dropped = filter_interactions(interactions, settings.filter)
    parts = split(kept, settings.split)
    kept.save(folder)
    write_json(folder / _SPLIT, settings.split.model_dump(mode="json"))
    return [*dropped, *parts.notes]


def _refuse_other_files(folder: Path) -> None:
    """Saving a log replaces a whole folder, so nothing else may be in it."""
    if folder.exists() and not folder.is_dir():
        raise ArtifactError(f"{folder} is a file; expected a folder for prepared data, or a path that is free")
    other = sorted({file.name for file in folder.iterdir()} - _PREPARED_FILES) if folder.is_dir() else []
    if other:
        raise ArtifactError(
            f"{folder} also holds {', '.join(other[:5])}, which prepared data there would delete; name another folder"
        )


def load_prepared(folder: Path) -> Prepared:
    """Read back what `prepare` wrote. The split is worked out again: it depends on nothing but its settings."""
    interactions = Interactions.load(folder)
    settings = parse(SplitSettings, read_json(folder / _SPLIT), where=str(folder / _SPLIT))
    return Prepared(interactions, split(interactions, settings))


def encode(prepared: Prepared, settings: EncodeSettings, folder: Path, *, quiet: bool = False) -> None:
    """Write the vectors of every item's text, `vectors.npy` `[N, F]`, and facts about the encoder."""
    vectors, about = encode_items(prepared.interactions.items, settings, quiet=quiet)
    with atomic_path(folder / _VECTORS) as temporary, temporary.open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
    write_json(folder / _ENCODER, about)


def load_vectors(folder: Path) -> FloatArray:
    """Read back what `encode` wrote."""
    path = folder / _VECTORS
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; expected a folder that `distilrec encode` wrote")
    try:
        vectors: FloatArray = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); encode the catalogue again") from None
    return vectors


def fit_baselines(settings: BaselineSettings, prepared: Prepared) -> dict[str, Model]:
    """The baselines that are asked for, fitted on the training sequences."""
    from distilrec.models.ease import EASE
    from distilrec.models.item_knn import ItemKNN
    from distilrec.models.popularity import Popularity

    train, n_items = prepared.split.train, prepared.interactions.n_items
    models: dict[str, Model] = {}
    if settings.popularity is not None:
        models[Popularity.kind] = Popularity.fit(train, n_items=n_items, settings=settings.popularity)
    if settings.item_knn is not None:
        models[ItemKNN.kind] = ItemKNN.fit(train, n_items=n_items, settings=settings.item_knn)
    if settings.ease is not None:
        models[EASE.kind] = EASE.fit(train, n_items=n_items, settings=settings.ease)
    return models


def train_student(
    model_settings: StudentModel,
    train_settings: TrainSettings,
    prepared: Prepared,
    folder: Path,
    *,
    validate: Validate,
    knowledge: KnowledgeSource | None = None,
    distil: DistilSettings | None = None,
    teacher: Model | None = None,
    advantage: FloatArray | None = None,
    say: Say = print,
    quiet: bool = False,
) -> TrainReport:
    """Train a student, alone or with a teacher's knowledge; write its artefact to `folder`.

    Alone and distilled start from the same weights, but for the item table when `distil.start_from_teacher` is set, and
    for `distil.layers`.

    Args:
        teacher: the teacher's model itself, for `distil.layers`.
        advantage: for `distil.trust.advantage`; `run.advantage` measures it.
        say: is told what of the settings is left out.
    """
    heard = training_of(train_settings, taught=knowledge is not None)
    if heard != train_settings:
        say(_NOT_AUGMENTED)
    n_items = prepared.interactions.n_items
    windows = Windows.cut(prepared.split.train, max_length=model_settings.max_length)
    if knowledge is not None:
        knowledge.check_belongs(windows_digest=windows.digest(), n_items=n_items)
    torch.manual_seed(derive_seed(train_settings.seed, "weights"))
    model = build_student(model_settings, n_items, sequences=prepared.split.train)
    towards = _start(model, knowledge, distil, teacher) if knowledge is not None and distil is not None else None
    return train_and_save(
        model,
        windows,
        prepared,
        folder,
        heard,
        validate=validate,
        knowledge=knowledge,
        distil=distil,
        advantage=advantage,
        towards=towards,
        name="Student alone" if knowledge is None else "Distilled student",
        quiet=quiet,
    )


def training_of(settings: TrainSettings, *, taught: bool) -> TrainSettings:
    """What of the settings a student is trained by: without a teacher nobody says which items are similar."""
    if taught or settings.augment is None or not settings.augment.needs_neighbours:
        return settings
    return settings.with_changes(augment=settings.augment.without_neighbours())


def _start(
    model: ProductForm, knowledge: KnowledgeSource, distil: DistilSettings, teacher: Model | None
) -> dict[str, Tensor] | None:
    """Put a student where its teacher already is; what its layers are then drawn towards."""
    directions = None
    if distil.start_from_teacher:
        table, theirs = model.free_item_vectors(), _table_of(knowledge)
        start_from_teacher(table, theirs)
        directions = principal_directions(theirs, table.shape[1])
    if not distil.layers:
        return None
    if teacher is None:
        raise SettingsError(
            "distil.layers copies layers of the teacher's model, and knowledge on disk has none; give the teacher "
            "itself (distilrec distil --teacher), or leave them out"
        )
    return copy_layers(model, teacher.state(), distil.layers, directions=directions)


def _table_of(knowledge: KnowledgeSource) -> FloatArray:
    vectors = knowledge.item_vectors()
    if vectors is None:
        raise SettingsError("this teacher has no item vectors to start from; set distil.start_from_teacher=false")
    return vectors


def validator(prepared: Prepared, settings: EvaluateStage) -> Validate:
    """The score that training goes by: a metric on the validation cases, never on test."""
    cases, cutoff = prepared.split.validation, [k for k in settings.cutoffs if settings.metric.endswith(f"@{k}")]

    def validate(model: Any) -> float:  # noqa: ANN401  (a Scorer; the loop hands it over as a torch module)
        found = evaluate(
            model, cases, cutoffs=cutoff or settings.cutoffs, exclude_history=settings.exclude_history, quiet=True
        )
        return found.mean(settings.metric)

    return validate


def judge(
    recommender: Recommender,
    prepared: Prepared,
    settings: EvaluateStage,
    *,
    on: str = "test",
    watch: Watch | None = None,
    quiet: bool = True,
) -> Evaluation:
    """Evaluate on the test cases, or on others of the split."""
    cases = prepared.cases(on)
    check_same_catalogue(recommender, prepared, "the model")
    return evaluate(
        recommender,
        cases,
        cutoffs=settings.cutoffs,
        exclude_history=settings.exclude_history,
        split=on,
        watch=watch,
        quiet=quiet,
    )


def train_and_save(
    model: Any,  # noqa: ANN401  (a torch module that is a Model and can be folded)
    windows: Windows,
    prepared: Prepared,
    folder: Path,
    settings: TrainSettings,
    *,
    validate: Validate,
    name: str,
    quiet: bool,
    knowledge: KnowledgeSource | None = None,
    distil: DistilSettings | None = None,
    advantage: FloatArray | None = None,
    towards: Mapping[str, Tensor] | None = None,
) -> TrainReport:
    """Train a model and write its folded artefact to `folder`, where a checkpoint lies until it is forgotten."""
    folder.mkdir(parents=True, exist_ok=True)
    report = train(
        model,
        windows,
        validate=validate,
        settings=settings,
        knowledge=knowledge,
        distil=distil,
        advantage=advantage,
        towards=towards,
        checkpoint_path=folder / _CHECKPOINT,
        name=name,
        quiet=quiet,
    )
    about = {"train": settings.model_dump(mode="json"), "distil": distil.model_dump() if distil else None}
    Recommender(model.fold(), prepared.catalogue(), about=about).save_pretrained(folder / "artefact")
    write_json(folder / _TRAINING, vars(report))
    return report


def check_same_catalogue(recommender: Recommender, prepared: Prepared, who: str) -> None:
    """Row numbers mean the same items on both sides, or every score is of another item."""
    ours, theirs = prepared.interactions.items["item_id"], recommender.items["item_id"]
    if not ours.equals(theirs):
        raise ArtifactError(
            f"{who} ranks another catalogue ({len(theirs):,} items) than the data's ({len(ours):,} items); "
            "take a model that was trained on this prepared data"
        )
