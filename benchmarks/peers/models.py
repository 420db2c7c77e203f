"""What stands in the table: models of ours found in folders of runs, and what peers answered, each with its costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distilrec.config import load_yaml, parse
from distilrec.evaluate.evaluation import Evaluation, evaluate
from distilrec.files import is_leftover, read_json, size_bytes
from distilrec.recommender import Recommender
from distilrec.run.quality.cells import cells_of
from distilrec.run.quality.proof import Proof
from distilrec.run.quality.settings import QualityRecipe
from distilrec.run.stages import Prepared, check_same_catalogue

BYTES_A_PARAMETER = 4  # of the peers, which keep float32


@dataclass(frozen=True)
class Row:
    """One model on one data set."""

    name: str
    whose: str
    parameters: int
    bytes: int
    epochs: str
    """How many were trained and which was kept; a dash where a model is solved."""
    seconds: float
    """Of training, wherever and beside whatever it was done."""
    finished: bool
    """Whether training came to its own end."""
    evaluations: dict[str, Evaluation]


def peer_row(title: str, folder: Path, evaluations: dict[str, Evaluation]) -> Row:
    """The row of what a peer answered."""
    report = read_json(folder / "report.json")
    parameters = int(report["parameters"])
    trained = "validation" in report
    return Row(
        title,
        str(report["library"]),
        parameters,
        parameters * BYTES_A_PARAMETER,
        f"{report['best_epoch']} of {report['epochs']}" if trained else "-",
        float(report["seconds"]),
        bool(report["finished"]),
        evaluations,
    )


def own_row(name: str, folder: Path, evaluations: dict[str, Evaluation]) -> Row:
    """The row of a model of ours: a folder with `artefact/`, `training.json` and `stage.json`."""
    training, about = read_json(folder / "training.json"), read_json(folder / "artefact" / "config.json")
    epochs = training["epochs"]
    return Row(
        name,
        "DistilRec",
        int(about["n_parameters"]),
        size_bytes(folder / "artefact" / "model.safetensors"),
        f"{training['best_epoch'] + 1} of {len(epochs)}" if epochs else "-",
        float(read_json(folder / "stage.json")["seconds"]),
        True,
        evaluations,
    )


def own_folders(roots: Sequence[Path]) -> dict[str, Path]:
    """Finished models of ours below these folders, by a name for the table: the path below the root's own folder.

    Where two would have one name, both have the whole path.
    """
    places = [(root, folder) for root in dict.fromkeys(roots) for folder in _finished(root)]
    short = Counter(str(folder.relative_to(root.parent)) for root, folder in places)
    named = ((str(folder.relative_to(root.parent)), folder) for root, folder in places)
    return {name if short[name] == 1 else str(folder): folder for name, folder in named}


def _finished(root: Path) -> list[Path]:
    found = []
    for artefact in sorted(root.glob("**/artefact")):
        folder = artefact.parent
        whole = all((folder / name).is_file() for name in ("training.json", "stage.json"))
        if whole and not is_leftover(folder.relative_to(root.parent)):
            found.append(folder)
    return found


def cell_names(recipe: Path, proof: Path) -> dict[Path, str]:
    """What cells of `make bench-quality` are called, by where their students lie; those of other recipes are not."""
    if not (proof / "cells").is_dir() or not recipe.is_file():
        return {}
    proven = Proof(parse(QualityRecipe, load_yaml(recipe), where=str(recipe)), proof)
    return {proven.folder(cell) / "trained": cell.name for cell in cells_of(proven.recipe)}


def judge_own(
    folder: Path, prepared: Prepared, splits: Sequence[str], *, cutoffs: Sequence[int]
) -> dict[str, Evaluation]:
    """A model of ours on the cases of each split."""
    recommender = Recommender.from_pretrained(folder / "artefact")
    check_same_catalogue(recommender, prepared, str(folder))
    return {
        name: evaluate(recommender, prepared.cases(name), cutoffs=cutoffs, split=name, quiet=True) for name in splits
    }


def answers_in(folder: Path) -> Path:
    """Where what a peer answered lies: its report says, and is renamed last."""
    return folder / str(read_json(folder / "report.json")["answers"])
