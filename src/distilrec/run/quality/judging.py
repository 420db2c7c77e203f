"""What a model came to on the test cases, beyond the head of the catalogue too; and how its training went."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distilrec.evaluate.beyond import HEAD_SHARE, Coverage, cases_in_tail, tail_items
from distilrec.evaluate.evaluation import Evaluation, evaluate
from distilrec.files import read_json, write_json
from distilrec.recommender import Recommender
from distilrec.run import stages
from distilrec.run.quality.cells import Cell
from distilrec.run.recipe import EvaluateStage
from distilrec.run.stages import Prepared

_BEYOND = "beyond.json"


@dataclass(frozen=True)
class Judged:
    """A model on the test cases."""

    parameters: int
    validation: float
    """Its best score there."""
    test: Evaluation
    tail: float | None
    """The metric on test cases whose item is in the tail; none where there are no such."""
    coverage: float


@dataclass(frozen=True)
class Outcome(Judged):
    """A cell that is done."""

    cell: Cell
    best_epoch: int
    """From 1."""
    curve: Sequence[float]
    """Validation after each epoch."""
    seconds_an_epoch: float
    """The median, without validation."""


def judging_told(settings: EvaluateStage) -> dict[str, Any]:
    """All of the settings that decides what judging finds."""
    return {**settings.model_dump(mode="json", exclude={"latency_requests"}), "head_share": HEAD_SHARE}


def judge_to(artefact: Path, prepared: Prepared, settings: EvaluateStage, folder: Path, *, k: int) -> None:
    """Judge a saved model on the test cases and write what is found to `folder`."""
    recommender, cases = Recommender.from_pretrained(artefact), prepared.split.test
    stages.check_same_catalogue(recommender, prepared, "the model")
    coverage = Coverage(len(cases), recommender.n_items, k=k)
    found = evaluate(
        recommender,
        cases,
        cutoffs=settings.cutoffs,
        exclude_history=settings.exclude_history,
        split="test",
        watch=coverage,
        quiet=True,
    )
    found.save(folder)
    counts = np.bincount(prepared.split.train.values, minlength=recommender.n_items)
    of_tail = found.values(settings.metric)[cases_in_tail(cases, tail_items(counts))]
    tail = float(of_tail.mean()) if len(of_tail) else None
    write_json(folder / _BEYOND, {"coverage": coverage.share, "tail": tail, "tail_cases": len(of_tail)})


def load_judged(trained: Path, judged: Path) -> Judged:
    """Read back what is known of a model in the folder `trained` that was judged."""
    return Judged(**_facts(trained, judged))


def load_outcome(cell: Cell, trained: Path, judged: Path) -> Outcome:
    """Read back a cell that is done."""
    training = read_json(trained / "training.json")
    return Outcome(
        **_facts(trained, judged),
        cell=cell,
        best_epoch=int(training["best_epoch"]) + 1,
        curve=[float(epoch["score"]) for epoch in training["epochs"]],
        seconds_an_epoch=statistics.median(float(epoch["seconds"]) for epoch in training["epochs"]),
    )


def _facts(trained: Path, judged: Path) -> dict[str, Any]:
    beyond = read_json(judged / _BEYOND)
    return {
        "parameters": int(read_json(trained / "artefact" / "config.json")["n_parameters"]),
        "validation": float(read_json(trained / "training.json")["best_score"]),
        "test": Evaluation.load(judged),
        "tail": beyond["tail"],
        "coverage": beyond["coverage"],
    }
