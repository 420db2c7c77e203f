"""Models of a run are found among what a kill left, and asked only about users that they were judged on."""

import shutil

import pytest

from distilrec.evaluate.kept_lists import LISTS
from distilrec.files import read_json, write_json
from distilrec.run.lists import add_lists, artefact_of


def without_lists(run):
    for path in run.glob(f"evaluation/*/{LISTS}"):
        path.unlink()


@pytest.mark.parametrize("left", ["seed-1.partial", "seed-0.old"])
def test_what_a_kill_left_of_a_seed_is_no_model(copied, left):
    (copied / "distilled/seed-0").rename(copied / "distilled/seed-3")
    shutil.copytree(copied / "distilled/seed-3", copied / "distilled" / left)
    assert artefact_of(copied, "distilled") == copied / "distilled/seed-3/artefact"


def test_what_a_kill_left_of_an_evaluation_is_not_asked(copied):
    without_lists(copied)
    shutil.copytree(copied / "evaluation/ease", copied / "evaluation/ease.old")
    add_lists(copied)
    assert (copied / "evaluation/ease" / LISTS).is_file()
    assert not (copied / "evaluation/ease.old" / LISTS).exists()


def test_a_model_that_was_judged_on_other_cases_is_not_asked_about_these(copied):
    without_lists(copied)
    settings = copied / "data/split.json"
    write_json(settings, {**read_json(settings), "new_items_only": False})
    add_lists(copied)
    assert not list(copied.glob(f"evaluation/*/{LISTS}"))
