"""What the models of a run show, for a run that did not keep it when they were judged."""

from __future__ import annotations

from pathlib import Path

from distilrec.evaluate.evaluation import digest_of_cases
from distilrec.evaluate.kept_lists import evaluations_without_lists, save_lists
from distilrec.evaluate.lists import top_lists
from distilrec.files import is_leftover, read_json
from distilrec.recommender import Recommender
from distilrec.run.stages import load_prepared

LIST_LENGTH = 10


def add_lists(run: Path) -> None:
    """Ask the models of a run that kept no lists, and keep what they say.

    A model that was judged on other cases than the data folder holds now is not asked: its lists would not be of them.
    """
    cases = load_prepared(run / "data").split.test
    digest = digest_of_cases(cases)
    for folder in evaluations_without_lists(run / "evaluation"):
        protocol = read_json(folder / "summary.json")["protocol"]
        if protocol.get("cases") != digest:
            continue
        recommender = Recommender.from_pretrained(artefact_of(run, folder.name))
        k = min(LIST_LENGTH, recommender.n_items)
        save_lists(folder, top_lists(recommender, cases, k=k, exclude_history=protocol["exclude_history"]))


def artefact_of(run: Path, name: str) -> Path:
    """Where a run keeps a model by that name; of a student, the one of the first seed."""
    found = [path for path in (run / name).glob("seed-*/artefact") if not is_leftover(path.relative_to(run))]
    seeds = sorted(found, key=lambda path: int(path.parent.name.partition("-")[2]))
    places = [run / name / "artefact", run / "baselines" / name / "artefact", *seeds]
    return next((place for place in places if place.is_dir()), places[0])
