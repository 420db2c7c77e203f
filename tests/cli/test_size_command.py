"""`distilrec size` prints what a model weighs, and several side by side."""

import re

import polars as pl
import pytest

from distilrec.artifact import artifact_size_bytes
from distilrec.models.popularity import Popularity
from distilrec.recommender import Recommender
from distilrec.storage import Integers, Packed
from distilrec.types import Ragged


@pytest.fixture
def run_folder(tmp_path):
    """A model of eight bytes an item, and the same in one byte each."""
    items = pl.DataFrame({"item_id": range(100), "train_count": [1] * 100})
    model = Popularity.fit(Ragged.of([list(range(100))]), n_items=100)
    small = Packed.of(model.state(), {"counts": Integers()})
    Recommender(model, items).save_pretrained(tmp_path / "student" / "artefact")
    Recommender(model, items, packed=small).save_pretrained(tmp_path / "small" / "artefact")
    return tmp_path


def test_one_model_is_printed_part_by_part(command, run_folder):
    called = command("size", run_folder / "small")
    assert called.code == 0
    assert re.search(r"counts +│ +integers │ +100 │ +100 │ +400 │ 0\.250", called.out)
    assert re.search(rf"all that is shipped .* {artifact_size_bytes(run_folder / 'small/artefact'):,} ", called.out)
    assert "everything shipped is counted" in called.out


def test_several_are_printed_side_by_side_and_with_parts_when_asked(command, run_folder):
    called = command("size", run_folder)
    rows = [line for line in called.out.splitlines() if "student" in line or "small" in line]
    assert re.search(r"student +│ +int64 │ +100 │ +0 │ +800 │", rows[0])
    assert re.search(r"small +│ +integers │ +100 │ +0 │ +100 │", rows[1])
    assert "names and shapes  " not in called.out
    assert command("size", run_folder, "--parts").out.count("names and shapes  ") == 2


def test_models_of_one_name_are_told_apart_by_their_folders(command, run_folder):
    called = command("size", run_folder / "small", run_folder / "small" / "artefact")
    assert str(run_folder / "small" / "artefact")[:20] in called.out.replace("\n", "")


def test_a_folder_without_a_model_is_refused(command, tmp_path):
    called = command("size", tmp_path)
    assert (called.code, called.out) == (2, "")
    assert f"{tmp_path} is neither a saved model nor a run's folder" in called.err
