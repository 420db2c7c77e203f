"""The same lists judged by us and by the metrics of other libraries."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from environment import python_of

from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.files import read_scores
from distilrec.evaluate.lists import top_lists
from distilrec.files import atomic_path
from distilrec.recommender import Recommender
from distilrec.run.stages import Prepared
from distilrec.types import IntArray, Scorer
from models import Row

METRICS = ("ndcg@10", "recall@10")
JUDGES = {
    "RecTools": ("rectools_training", "metrics_rectools.py"),
    "RecBole": ("recbole_training", "metrics_recbole.py"),
}
Figures = Mapping[str, Mapping[str, float]]


def lists_to(folder: Path, rows: Sequence[tuple[Row, Path]], prepared: Prepared) -> Path:
    """Write the ten best items of every model for every test case, and what was asked; return the folder."""
    cases = prepared.cases("test")
    _save(folder / "answers.npy", cases.relevant.values)
    for number, (_, place) in enumerate(rows):
        _save(folder / f"{number}.npy", top_lists(_scorer(place, prepared), cases, k=10, quiet=True))
    return folder


def _scorer(place: Path, prepared: Prepared) -> Scorer:
    if (place / "artefact").is_dir():
        return Recommender.from_pretrained(place / "artefact")
    return read_scores(place, "test", prepared.cases("test"), n_items=prepared.interactions.n_items)


def _save(path: Path, array: IntArray) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def their_figures(lists: Path, venvs: Path, scripts: Path) -> dict[str, Figures]:
    """What each of the other libraries says of the lists, by library and the number of the list."""
    found: dict[str, Figures] = {}
    for judge, (environment, script) in JUDGES.items():
        answer = lists / f"{environment}.json"
        python = python_of(environment, venvs)
        subprocess.run([str(python), str(scripts / script), str(lists), str(answer)], check=True)
        found[judge] = json.loads(answer.read_text())
    return found


def differences(rows: Sequence[Row], theirs: Mapping[str, Figures]) -> dict[str, float]:
    """The largest difference of any model's figures between ours and each library's."""
    return {
        judge: max(
            abs(_ours(row.evaluations["test"], metric) - figures[str(number)][metric])
            for number, row in enumerate(rows)
            for metric in METRICS
        )
        for judge, figures in theirs.items()
    }


def _ours(evaluation: Evaluation, metric: str) -> float:
    return evaluation.mean(metric)
