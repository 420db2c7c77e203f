"""Every byte of an artefact is counted once, by part."""

import numpy as np
import polars as pl
import pytest

from distilrec.artifact import artifact_size_bytes, write_artifact
from distilrec.errors import ArtifactError
from distilrec.storage import Alias, Float16, Int8, Integers, Packed
from distilrec.storage.sizes import artefacts_in, sizes_of

STATE = {
    "table.weight": np.ones((10, 4), np.float32),
    "blocks.0.in.weight": np.ones((4, 4), np.float32),
    "blocks.0.in.bias": np.ones(4, np.float32),
    "blocks.1.in.weight": np.ones((4, 4), np.float32),
    "offsets": np.arange(3),
}
FORMS = {
    "table.weight": Int8(scales="float32"),
    "blocks.0.in.bias": Float16(),
    "blocks.1.in.weight": Alias(of="blocks.0.in.weight"),
    "offsets": Integers(),
}


def save(folder, packed):
    items = pl.DataFrame({"item_id": range(10)})
    write_artifact(folder, config={}, tensors=packed.arrays, items=items, card="# A model", stored=packed.described())
    return folder


def test_all_parts_together_are_the_files(tmp_path):
    for name, packed in (("plain", Packed.of(STATE)), ("small", Packed.of(STATE, FORMS))):
        folder = save(tmp_path / name, packed)
        assert sizes_of(folder).total.stored_bytes == artifact_size_bytes(folder)


def test_parts_by_hand(tmp_path):
    found = sizes_of(save(tmp_path / "small", Packed.of(STATE, FORMS)))
    told = {part.name: (part.form, part.numbers, part.stored_bytes, part.plain_bytes) for part in found.arrays}
    assert told == {
        "item table": ("int8", 40, 40 + 10 * 4, 160),
        "block 1": ("float32, float16", 20, 64 + 8, 80),
        "block 2": ("alias", 16, 0, 64),
        "offsets": ("integers", 3, 3, 12),
    }
    assert (found.weights.numbers, found.weights.stored_bytes) == (79, 155)
    assert found.item_table.stored_bytes == 80
    assert [part.name for part in found.others] == ["names and shapes", "catalogue", "card", "config"]


def test_a_run_gives_every_model_in_it_teachers_first_and_one_of_several_seeds(tmp_path):
    packed = Packed.of(STATE)
    places = ["artefact", "distilled/seed-0/artefact", "distilled/seed-1/artefact", "teacher/artefact"]
    places += ["compressed/int8/artefact", ".cache/artefact", "student_alone.partial/artefact", "points/a"]
    for place in places:
        save(tmp_path / "run" / place, packed)
    found = artefacts_in(tmp_path / "run")
    assert list(found) == ["teacher", "compressed/int8", "distilled", "points/a", "run"]
    assert found["distilled"] == tmp_path / "run" / "distilled" / "seed-0" / "artefact"


def test_an_artefact_is_itself_under_the_name_of_its_folder(tmp_path):
    folder = save(tmp_path / "run" / "artefact", Packed.of(STATE))
    assert artefacts_in(folder) == {"run": folder}
    assert artefacts_in(save(tmp_path / "tiny", Packed.of(STATE))) == {"tiny": tmp_path / "tiny"}


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="is neither a saved model nor a run's folder with one in it"):
        artefacts_in(tmp_path)
