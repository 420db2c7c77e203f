"""Folders of format version 1 are read as if they were of this version."""

import numpy as np
import pytest
from small_knowledge import ITEMS, POSITIONS, ROWS, files, windows_batch, write

from distilrec.errors import KnowledgeError
from distilrec.files import read_json, sha256_of_file, write_json
from distilrec.knowledge import Knowledge


@pytest.fixture
def old(tmp_path):
    """The layout of version 1: one teacher, soft labels as factors, file names in the manifest."""
    folder = tmp_path / "old"
    folder.mkdir()
    np.save(folder / "item_vectors.npy", ITEMS)
    np.save(folder / "positions.npy", POSITIONS)
    shards = []
    for number, (window, windows, begin, end) in enumerate([(0, 2, 0, 3), (2, 3, 3, 9)]):
        path = folder / f"history_vectors-{number:05d}.npy"
        np.save(path, ROWS[begin:end])
        counts = {"first_window": window, "windows": windows, "positions": end - begin}
        shards.append({"file": path.name, **counts, "sha256": sha256_of_file(path)})
    write_json(
        folder / "manifest.json",
        {
            "teacher": {"kind": "transformer", "parameters": 7},
            "teacher_digest": "t1",
            "windows_digest": "w1",
            "max_length": 3,
            "format": "distilrec-knowledge",
            "format_version": 1,
            "kinds": ["soft_labels"],
            "n_items": 6,
            "width": 4,
            "dtype": "float32",
            "windows": 5,
            "positions": 9,
            "item_vectors_sha256": sha256_of_file(folder / "item_vectors.npy"),
            "positions_sha256": sha256_of_file(folder / "positions.npy"),
            "created": "2025-01-01T00:00:00Z",
            "seconds": 1.5,
            "shards": shards,
        },
    )
    return folder


def test_it_says_what_it_always_said(old):
    found = Knowledge.open(old)
    (labels,) = found.soft_labels(windows_batch(4, 0, 2))
    np.testing.assert_array_equal(labels.history_vectors, ROWS[[7, 8, 0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(labels.item_vectors, ITEMS)
    np.testing.assert_array_equal(found.item_vectors(), ITEMS)
    assert (labels.weight, labels.temperature, labels.rows) == (1, 1, None)
    assert (found.n_items, found.n_windows) == (6, 5)
    assert found.verify() == []
    found.check_belongs(windows_digest="w1", n_items=6)


def test_opening_it_changes_nothing(old):
    before = {name: sha256_of_file(old / name) for name in files(old)}
    Knowledge.open(old).verify()
    assert {name: sha256_of_file(old / name) for name in files(old)} == before


@pytest.mark.parametrize("name", ["history_vectors-00001.npy", "item_vectors.npy"])
def test_an_altered_byte_is_found(old, name):
    content = bytearray((old / name).read_bytes())
    content[-1] ^= 1
    (old / name).write_bytes(content)
    (problem,) = Knowledge.open(old).verify()
    assert problem.startswith(f"{old / name}: its SHA-256 is not the one in the manifest")


@pytest.mark.parametrize("name", ["history_vectors-00001.npy", "item_vectors.npy", "positions.npy"])
def test_a_missing_file_is_named(old, name):
    (old / name).unlink()
    with pytest.raises(KnowledgeError, match=rf"{name} is missing; extract the knowledge again"):
        Knowledge.open(old)


@pytest.mark.parametrize("key", ["width", "item_vectors_sha256", "shards"])
def test_a_manifest_that_lacks_something_is_refused(old, key):
    manifest = read_json(old / "manifest.json")
    del manifest[key]
    write_json(old / "manifest.json", manifest)
    with pytest.raises(KnowledgeError, match=rf"is damaged \('{key}'\)"):
        Knowledge.open(old)


def test_a_shard_of_another_width_is_refused(old):
    np.save(old / "history_vectors-00000.npy", ROWS[:3, :2])
    with pytest.raises(KnowledgeError, match=r"00000.npy has shape \(3, 2\); its manifest says \(3, 4\)"):
        Knowledge.open(old)


def test_extracting_into_it_starts_afresh(old):
    """Version 1 also left begun.json behind."""
    write_json(old / "begun.json", {"about": "?"})
    assert write(old).manifest["format_version"] == 2
    assert Knowledge.open(old).verify() == []
