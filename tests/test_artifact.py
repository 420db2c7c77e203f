"""A model's folder: what goes in comes out, and anything damaged, foreign or newer is refused by name."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from distilrec.artifact import artifact_size_bytes, read_artifact, write_artifact
from distilrec.errors import ArtifactError, StorageError
from distilrec.files import read_json, sha256_of_file, write_json

ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["Alien", "Brazil"]})
TABLE = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    write_artifact(path, config={"width": 2}, tensors={"items": TABLE}, items=ITEMS, card="# A model\n")
    return path


def write_again(folder: Path, width: int = 3) -> None:
    write_artifact(folder, config={"width": width}, tensors={"items": TABLE}, items=ITEMS, card="")


def test_what_is_written_is_read_again(folder):
    artifact = read_artifact(folder)
    assert artifact.config == {"width": 2}
    assert artifact.tensors["items"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert artifact.items.equals(ITEMS)
    assert (artifact.card, artifact.folder) == ("# A model\n", folder)


@settings(max_examples=20)
@given(table=arrays.arrays(st.sampled_from([np.float32, np.float16, np.int8]), arrays.array_shapes(min_dims=0)))
def test_any_shape_and_type_comes_back_even_from_a_transposed_view(table, tmp_path_factory):
    """safetensors reads the bytes in memory order, so a transposed view could come back scrambled."""
    folder = tmp_path_factory.mktemp("any") / "model"
    write_artifact(folder, config={}, tensors={"turned": table.T, "table": table}, items=ITEMS, card="")
    tensors = read_artifact(folder).tensors
    np.testing.assert_array_equal(tensors["turned"], table.T)
    assert (tensors["table"].shape, tensors["table"].dtype) == (table.shape, table.dtype)


def test_the_folder_holds_four_files_and_the_config_names_the_digests_of_weights_and_catalogue(folder):
    names = ["README.md", "config.json", "items.parquet", "model.safetensors"]
    assert sorted(file.name for file in folder.iterdir()) == names
    config = read_json(folder / "config.json")
    assert (config["format"], config["format_version"]) == ("distilrec", 1)
    assert config["sha256"] == {name: sha256_of_file(folder / name) for name in names[2:]}


def test_a_card_that_somebody_edited_or_deleted_does_not_keep_the_model_from_loading(folder):
    (folder / "README.md").write_text("# Our model\n")
    assert read_artifact(folder).card == "# Our model\n"
    (folder / "README.md").unlink()
    assert read_artifact(folder).card == ""


def test_the_size_is_what_must_be_shipped_and_not_what_else_lies_there(folder):
    four = sum(file.stat().st_size for file in folder.iterdir())
    (folder / "notes.txt").write_text("x" * 1000)
    assert artifact_size_bytes(folder) == four


def test_a_newer_model_replaces_an_older_one(folder):
    write_again(folder, width=3)
    assert read_artifact(folder).config == {"width": 3}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["model.safetensors", "items.parquet"])
def test_an_altered_file_is_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} was altered or cut short: its SHA-256 is .* Copy or export"):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "items.parquet"])
def test_a_truncated_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactError, match=f"{name} was altered or cut short"):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "items.parquet"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing; the folder is not whole"):
        read_artifact(folder)


def test_a_folder_that_is_not_there_says_what_was_expected(tmp_path):
    with pytest.raises(ArtifactError, match=r"is not a folder; expected a saved model: config\.json, model"):
        read_artifact(tmp_path / "nothing")


def test_a_folder_without_config_says_so(folder):
    (folder / "config.json").unlink()
    with pytest.raises(ArtifactError, match=r"model has no config.json; expected a saved model"):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "bert"}, "config.json says format 'bert'; expected 'distilrec'"),
        ({"format_version": "new"}, "says format_version 'new'; expected a number from 1"),
        ({"format_version": 3}, "format version 3; this distilrec reads up to 2. Run: pip install --upgrade"),
        (
            {"sha256": {"README.md": "0"}},
            "config.json needs sha256 of model.safetensors, items.parquet; it holds",
        ),
        ({"sha256": None}, "items.parquet; it holds None"),
    ],
)
def test_a_config_of_another_kind_or_a_newer_format_is_refused(folder, changes, message):
    write_json(folder / "config.json", {**read_json(folder / "config.json"), **changes})
    with pytest.raises(ArtifactError, match=message):
        read_artifact(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.PT", "model-2.safetensors", "weights.pkl", "a.npz"])
def test_other_weights_beside_the_model_are_refused(folder, name):
    (folder / name).write_bytes(b"\x80\x04")
    with pytest.raises(ArtifactError, match=f"also holds {name}; weights are read from model.safetensors alone"):
        read_artifact(folder)


def test_other_files_beside_the_model_are_left_alone(folder):
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    assert read_artifact(folder).config == {"width": 2}


@pytest.mark.parametrize("name", ["model.safetensors", "items.parquet"])
def test_nonsense_with_a_matching_digest_is_still_an_error_in_words(folder, name):
    (folder / name).write_bytes(b"\xff nonsense")
    config = read_json(folder / "config.json")
    digests = {**config["sha256"], name: sha256_of_file(folder / name)}
    write_json(folder / "config.json", {**config, "sha256": digests})
    with pytest.raises(ArtifactError, match="cannot be read although its digests match"):
        read_artifact(folder)


def test_keys_of_the_format_are_not_the_callers_to_set(tmp_path):
    with pytest.raises(ArtifactError, match="config holds format, which the format sets itself; rename it"):
        write_artifact(tmp_path / "model", config={"format": "x"}, tensors={}, items=ITEMS, card="")


def test_a_file_in_the_way_is_not_replaced(tmp_path):
    (tmp_path / "model").write_text("precious")
    with pytest.raises(ArtifactError, match="model is a file; expected a folder for the model"):
        write_again(tmp_path / "model")


def test_files_of_the_user_are_never_deleted(folder):
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(ArtifactError, match=r"also holds notes\.txt, which a new model there would delete"):
        write_again(folder)
    assert (folder / "notes.txt").read_text() == "precious"
    assert read_artifact(folder).config == {"width": 2}


def test_a_model_of_another_library_is_never_replaced(tmp_path):
    write_json(tmp_path / "bert" / "config.json", {"model_type": "bert"})
    with pytest.raises(ArtifactError, match="bert holds files that are no distilrec model; name another folder"):
        write_again(tmp_path / "bert")


def test_when_writing_fails_the_older_model_stays(folder):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_artifact(folder, config={"loss": float("nan")}, tensors={}, items=ITEMS, card="")
    assert read_artifact(folder).config == {"width": 2}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_full_disk_is_said_in_words_and_the_older_model_stays(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match=f"no space left on the disk while writing {folder}. What was finished"):
        write_again(folder)
    assert read_artifact(folder).config == {"width": 2}
