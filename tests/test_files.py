"""Files that are either whole or absent, and digests that tell one content from another."""

import errno
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from distilrec.errors import ArtifactError, StorageError
from distilrec.files import (
    atomic_path,
    read_json,
    sha256_of_arrays,
    sha256_of_file,
    sha256_of_value,
    size_bytes,
    write_json,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(number: int):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def write_folder(path: Path, text: str) -> None:
    with atomic_path(path) as new:
        new.mkdir()
        (new / "a.txt").write_text(text)


def test_a_file_appears_when_the_block_ends(tmp_path):
    with atomic_path(tmp_path / "deep" / "a.txt") as new:
        new.write_text("whole")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert (tmp_path / "deep" / "a.txt").read_text() == "whole"
    assert names(tmp_path / "deep") == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_when_the_block_fails_the_old_file_stays_and_nothing_is_left_beside_it(tmp_path, error):
    write_text(tmp_path / "a.txt", "old")

    def write_half() -> None:
        with atomic_path(tmp_path / "a.txt") as new:
            new.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    write_folder(tmp_path / "model", "old")
    (tmp_path / "model" / "only_old.txt").write_text("")
    write_folder(tmp_path / "model", "new")
    assert names(tmp_path / "model") == ["a.txt"]
    assert (tmp_path / "model" / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["model"]


def test_a_folder_that_cannot_take_its_place_gives_the_old_one_back(tmp_path, monkeypatch):
    write_folder(tmp_path / "model", "old")
    rename = Path.rename

    def fail_for_the_new_one(self, target):
        return failing(errno.EIO)() if self.suffix == ".partial" else rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="Input/output error"):
        write_folder(tmp_path / "model", "new")
    assert (tmp_path / "model" / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_content_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    """After a power cut, a name without its content would look whole and be empty."""
    events = []
    fsync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (events.append("sync"), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda *paths: (events.append("rename"), rename(*paths)))
    with atomic_path(tmp_path / "model") as new:
        new.mkdir()
        (new / "a").write_text("1")
        (new / "b").write_text("2")
    assert events == ["sync", "sync", "rename", "sync"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_words_and_the_old_file_stays(tmp_path, monkeypatch, number):
    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(Path, "write_text", failing(number))
    message = r"writing .*a\.txt\. What was finished before is kept; free some space and run the same command"
    with pytest.raises(StorageError, match=message):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError("1048576 requested and 8192 written"),
        pl.exceptions.ComputeError("parquet: underlying IO error: No space left on device (os error 28)"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["numpy", "polars", "safetensors"],
)
def test_a_full_disk_is_recognised_whoever_writes(tmp_path, error):
    """None of these carries an error number; the words are those of a real full disk."""

    def write(path: Path) -> None:
        with atomic_path(path) as new:
            new.write_text("half")
            raise error

    with pytest.raises(StorageError, match="no space left on the disk while writing"):
        write(tmp_path / "a")
    assert names(tmp_path) == []


def test_our_own_errors_pass_through_unchanged(tmp_path):
    """A folder written inside a folder must not be explained twice."""
    own = StorageError("No space left on device, already explained")

    def write() -> None:
        with atomic_path(tmp_path / "a"):
            raise own

    with pytest.raises(StorageError) as caught:
        write()
    assert caught.value is own


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch, number):
    monkeypatch.setattr(Path, "write_text", failing(number))
    with pytest.raises(StorageError, match=rf"a\.txt cannot be written: {os.strerror(number)}"):
        write_text(tmp_path / "a.txt", "new")


def test_any_other_failure_keeps_its_own_words(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_text", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error") as caught:
        write_text(tmp_path / "a.txt", "new")
    assert not isinstance(caught.value, StorageError)


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | NUMBERS | st.text()
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30)
@given(value=st.dictionaries(st.text(max_size=3), JSON, max_size=3))
def test_json_comes_back_as_it_went_in(value, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_has_no_nan_and_none_is_made_up(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1', r"a\.json is not valid JSON: Expecting"),
        (b"\xff", r"a\.json is not valid JSON: 'utf-8' codec"),
        (b"[1]", r"a\.json holds a list; expected an object"),
    ],
)
def test_json_that_is_damaged_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        read_json(tmp_path / "a.json")


def test_json_that_is_missing_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"a\.json does not exist"):
        read_json(tmp_path / "a.json")


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path):
    """The SHA-256 of `abc` is the first example of the standard, FIPS 180-2."""
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_arrays_differ_by_name_type_shape_and_content():
    one = np.ones(1, dtype=np.float32)
    variants = [
        {"a": one},
        {"b": one},
        {"a": one.astype(np.float64)},
        {"a": one.reshape(1, 1)},
        {"a": one.reshape(())},
        {"a": one * 2},
        {"a": one, "b": one},
    ]
    assert len({sha256_of_arrays(arrays) for arrays in variants}) == len(variants)


def test_arrays_are_the_same_whatever_their_order_in_memory_or_in_the_mapping():
    table = np.arange(6).reshape(2, 3)
    turned = np.asfortranarray(table)
    assert sha256_of_arrays({"a": table, "b": table}) == sha256_of_arrays({"b": turned, "a": turned})


def test_arrays_of_python_objects_have_no_digest():
    with pytest.raises(AssertionError, match="a holds Python objects"):
        sha256_of_arrays({"a": np.array(["x", None], dtype=object)})


def test_plain_values_are_the_same_whatever_the_order_of_their_keys():
    assert sha256_of_value({"a": 1, "b": [2]}) == sha256_of_value({"b": [2], "a": 1})
    assert sha256_of_value({"a": 1}) != sha256_of_value({"a": "1"})


def test_the_size_of_a_folder_is_that_of_every_file_below_it(tmp_path):
    write_text(tmp_path / "a.txt", "12345")
    write_text(tmp_path / "deep" / "b.txt", "123")
    assert size_bytes(tmp_path / "a.txt") == 5
    assert size_bytes(tmp_path) == 8


def test_what_is_not_there_has_no_size(tmp_path):
    with pytest.raises(ArtifactError, match="nothing does not exist, so it has no size"):
        size_bytes(tmp_path / "nothing")
