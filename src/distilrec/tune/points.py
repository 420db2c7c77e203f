"""One point of a search: a student compressed in some way, saved, and judged on validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilrec.artifact import artifact_size_bytes
from distilrec.compress.ladder import Candidate
from distilrec.compress.methods import Retraining, compress
from distilrec.compress.steps import packed_of
from distilrec.errors import SettingsError, TrainingError
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import read_json, write_json
from distilrec.recommender import Recommender
from distilrec.run.folder import RunFolder
from distilrec.run.stages import judge, validator
from distilrec.tune.subject import Subject

_FACTS, _VALIDATION, _CHECKPOINTS = "point.json", "validation", "checkpoints"


@dataclass(frozen=True)
class Tried:
    """What became of a candidate."""

    candidate: Candidate
    folder: Path
    refused: str | None
    """Why its methods do not apply to this model; none where they do."""
    size_bytes: int = 0
    weights_bytes: int = 0

    @property
    def artefact(self) -> Path:
        """The model that came out."""
        return self.folder / "artefact"

    def validation(self) -> Evaluation:
        """Every validation user's values."""
        return Evaluation.load(self.folder / _VALIDATION)


def attempt(
    candidate: Candidate, subject: Subject, folder: RunFolder, decides: Mapping[str, Any], *, quiet: bool
) -> Tried:
    """Try a candidate unless it was tried before; interrupted training goes on where it stopped.

    Args:
        decides: all that decides the outcome beside the methods: `what_decides`.
    """

    def work(place: Path) -> None:
        training = retraining_of(subject, candidate.step, place / _CHECKPOINTS, quiet=quiet)
        try:
            small = compress(subject.recommender, candidate.methods, training)
        except (SettingsError, TrainingError) as error:
            write_json(place / _FACTS, {"refused": str(error)})
            return
        small.save_pretrained(place / "artefact")
        judge(small, subject.prepared, subject.evaluate, on="validation").save(place / _VALIDATION)
        sizes = {"size_bytes": artifact_size_bytes(place / "artefact"), "weights_bytes": packed_of(small).nbytes()}
        write_json(place / _FACTS, {"refused": None, **sizes})
        _forget(place / _CHECKPOINTS)

    methods = [method.model_dump(mode="json") for method in candidate.methods]
    inputs = dict(decides) if candidate.trained else _without_training(decides)
    inputs |= {"methods": methods, "step": candidate.step}
    done = folder.stage(f"points/{candidate.folder}", inputs, work)
    return Tried(candidate, done, **read_json(done / _FACTS))


def what_decides(subject: Subject) -> dict[str, Any]:
    """Digests and settings that a point depends on, whatever its methods."""
    evaluate = subject.evaluate.model_dump(mode="json", include={"cutoffs", "exclude_history", "metric"})
    return {
        "student": subject.digest,
        "data": subject.prepared.interactions.digest(),
        "evaluate": evaluate,
        "training": {
            "train": subject.train.model_dump(mode="json", exclude={"checkpoint_seconds"}),
            "knowledge": "itself" if subject.knowledge == "itself" else subject.knowledge.digest(),
            "distil": subject.distil.model_dump(mode="json") if subject.distil is not None else None,
        },
    }


def _without_training(decides: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in decides.items() if name != "training"}


def retraining_of(subject: Subject, step: float, checkpoints: Path, *, quiet: bool) -> Retraining:
    """What methods train and measure with."""
    return Retraining(
        subject.prepared.split.train,
        validator(subject.prepared, subject.evaluate),
        subject.train.with_changes(learning_rate=step * subject.train.learning_rate),
        knowledge=subject.knowledge,
        distil=subject.distil,
        advantage=subject.advantage,
        seed=subject.train.seed,
        quiet=quiet,
        checkpoints=checkpoints,
    )


def _forget(checkpoints: Path) -> None:
    for file in checkpoints.glob("*") if checkpoints.is_dir() else ():
        file.unlink()
    if checkpoints.is_dir():
        checkpoints.rmdir()


def load(tried: Tried) -> Recommender:
    """The model that came out."""
    return Recommender.from_pretrained(tried.artefact)
