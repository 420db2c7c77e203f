"""A teacher's knowledge comes back as it was written, survives a kill, and anything damaged or foreign is refused."""

import errno
import json

import numpy as np
import pytest

from distilrec import knowledge
from distilrec.errors import KnowledgeError, StorageError
from distilrec.files import read_json, sha256_of_file, write_json
from distilrec.knowledge import Knowledge, KnowledgeWriter
from distilrec.types import Batch

POSITIONS = np.array([2, 1, 3, 1, 2])  # of five windows
ROWS = np.arange(9 * 4, dtype=np.float32).reshape(9, 4)  # one row for each of the nine positions
ITEMS = np.arange(6 * 4, dtype=np.float32).reshape(6, 4)
ABOUT = {"teacher_digest": "t1", "windows_digest": "w1"}
SHARDS = ["history_vectors-00000.npy", "history_vectors-00001.npy", "history_vectors-00002.npy"]


def writer(folder, *, about=ABOUT, positions=POSITIONS, windows_per_shard=2):
    return KnowledgeWriter(folder, about=about, positions=positions, windows_per_shard=windows_per_shard)


def fill(work, *, upto=99):
    """Write the missing shards below number `upto`, and say which they were."""
    starts = np.concatenate([[0], np.cumsum(POSITIONS)])
    numbers = []
    for number, windows in work.missing():
        if number < upto:
            work.write_shard(number, ROWS[starts[windows[0]] : starts[windows[-1] + 1]])
            numbers.append(number)
    return numbers


def write(folder, **options):
    work = writer(folder, **options)
    fill(work)
    return work.finish(ITEMS)


def ask(found, *windows):
    rows = np.array(windows, dtype=np.int64)
    return found.history_vectors(Batch(np.zeros((len(rows), 3), np.int64), POSITIONS[rows], rows=rows))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "knowledge")
    return tmp_path / "knowledge"


def test_what_was_written_is_read_again(folder):
    found = Knowledge.open(folder)
    np.testing.assert_array_equal(found.item_vectors(), ITEMS)
    np.testing.assert_array_equal(ask(found, 0, 1, 2, 3, 4), ROWS)
    assert found.n_items == 6
    assert found.verify() == []


@pytest.mark.parametrize("windows_per_shard", [1, 2, 3, 5, 99])
def test_the_number_of_shards_makes_no_difference(tmp_path, windows_per_shard):
    work = writer(tmp_path, windows_per_shard=windows_per_shard)
    assert len(list(work.missing())) == -(-5 // windows_per_shard)
    fill(work)
    np.testing.assert_array_equal(ask(work.finish(ITEMS), 0, 1, 2, 3, 4), ROWS)


def test_windows_come_in_the_order_they_are_asked_for(folder):
    """Windows 4, 0 and 2 have positions 7 and 8, 0 and 1, 3 to 5."""
    np.testing.assert_array_equal(ask(Knowledge.open(folder), 4, 0, 2), ROWS[[7, 8, 0, 1, 3, 4, 5]])


def test_no_windows_give_no_rows(folder):
    assert ask(Knowledge.open(folder)).shape == (0, 4)


def test_the_manifest_says_what_it_is_about_and_how_much_there_is(folder):
    manifest = read_json(folder / "manifest.json")
    told = {key: manifest[key] for key in ("format", "format_version", "n_items", "width", "windows", "positions")}
    assert told == {
        "format": "distilrec-knowledge",
        "format_version": 1,
        "n_items": 6,
        "width": 4,
        "windows": 5,
        "positions": 9,
    }
    assert ABOUT.items() <= manifest.items()
    assert [shard["file"] for shard in manifest["shards"]] == SHARDS
    assert [shard["positions"] for shard in manifest["shards"]] == [3, 4, 2]


def test_facts_about_the_teacher_can_not_overwrite_those_of_the_format(tmp_path):
    assert write(tmp_path, about={**ABOUT, "format_version": 99, "n_items": 0}).n_items == 6


def test_the_digest_changes_with_anything_the_teacher_said(tmp_path, folder):
    first = Knowledge.open(folder).digest()
    assert first == write(tmp_path / "same").digest()
    work = writer(tmp_path / "other items")
    fill(work)
    other_items = work.finish(ITEMS[::-1].copy())
    work = writer(tmp_path / "other rows", windows_per_shard=99)
    work.write_shard(0, ROWS[::-1].copy())
    assert len({first, other_items.digest(), work.finish(ITEMS).digest()}) == 3


@pytest.mark.parametrize("name", [*SHARDS, "item_vectors.npy", "positions.npy"])
def test_verify_names_a_file_with_one_altered_byte(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    (problem,) = Knowledge.open(folder).verify()
    assert problem == f"{folder / name}: its SHA-256 is not the one in the manifest; the file was altered or damaged"


@pytest.mark.parametrize("name", [*SHARDS, "item_vectors.npy", "positions.npy"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(KnowledgeError, match=rf"{name} is missing; extract the knowledge again"):
        Knowledge.open(folder)


@pytest.mark.parametrize("name", [*SHARDS, "item_vectors.npy", "positions.npy"])
@pytest.mark.parametrize("kept", [0, 40, -8])
def test_a_file_that_was_cut_off_is_refused(folder, name, kept):
    (folder / name).write_bytes((folder / name).read_bytes()[:kept])
    with pytest.raises(KnowledgeError, match=r"is damaged \(.*\)\. Extract the knowledge again"):
        Knowledge.open(folder)


def test_a_file_of_another_shape_is_refused(folder):
    np.save(folder / SHARDS[1], ROWS[:5])
    with pytest.raises(KnowledgeError, match=r"00001.npy has shape \(5, 4\); its manifest says \(4, 4\)\. Extract"):
        Knowledge.open(folder)


def test_a_folder_without_a_manifest_is_not_finished(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(KnowledgeError, match=r"holds no manifest.json; it is not a finished knowledge folder"):
        Knowledge.open(folder)


@pytest.mark.parametrize("key", ["shards", "n_items", "width"])
def test_a_manifest_that_lacks_something_is_refused(folder, key):
    manifest = read_json(folder / "manifest.json")
    del manifest[key]
    write_json(folder / "manifest.json", manifest)
    with pytest.raises(KnowledgeError, match=rf"is damaged \('{key}'\)"):
        Knowledge.open(folder)


def test_another_format_version_is_refused(folder):
    manifest = {**read_json(folder / "manifest.json"), "format_version": 2}
    write_json(folder / "manifest.json", manifest)
    with pytest.raises(KnowledgeError, match=r"has format version 2; this DistilRec reads version 1. Extract it again"):
        Knowledge.open(folder)


def test_knowledge_of_other_windows_or_another_catalogue_is_refused(folder):
    found = Knowledge.open(folder)
    found.check_belongs(windows_digest="w1", n_items=6)
    with pytest.raises(KnowledgeError, match=r"other training windows \(digest w1, these are w2\): other data"):
        found.check_belongs(windows_digest="w2", n_items=6)
    with pytest.raises(KnowledgeError, match="ranks 6 items; this catalogue has 7"):
        found.check_belongs(windows_digest="w1", n_items=7)


def test_a_window_that_is_not_covered_is_refused(folder):
    batch = Batch(np.zeros((1, 1), np.int64), np.array([1]), rows=np.array([5]))
    with pytest.raises(KnowledgeError, match=r"window 5 is not in .*, which covers 5 windows"):
        Knowledge.open(folder).history_vectors(batch)


def test_a_batch_of_unknown_windows_is_refused(folder):
    with pytest.raises(KnowledgeError, match="the batch does not say which training windows it holds; take it from"):
        Knowledge.open(folder).history_vectors(Batch.of([[1]]))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_broken_teacher_is_refused_and_leaves_nothing(tmp_path, broken):
    work = writer(tmp_path)
    rows = ROWS[:3].copy()
    rows[1, 2] = broken
    with pytest.raises(KnowledgeError, match="shard 0 holds NaN or infinity; the teacher is broken"):
        work.write_shard(0, rows)
    assert [path.name for path in tmp_path.iterdir()] == ["begun.json"]
    fill(work)
    with pytest.raises(KnowledgeError, match="the item table holds NaN or infinity"):
        work.finish(np.full((6, 4), broken, np.float32))


@pytest.mark.parametrize(("rows", "shape"), [(ROWS[:2], r"\(2, 4\)"), (ROWS[:3, 0], r"\(3,\)")])
def test_a_shard_of_the_wrong_shape_is_refused(tmp_path, rows, shape):
    with pytest.raises(KnowledgeError, match=rf"shard 0 has shape {shape}; expected \(3, width\)"):
        writer(tmp_path).write_shard(0, rows)


def test_an_extraction_that_was_killed_goes_on_at_its_next_shard(tmp_path):
    assert fill(writer(tmp_path), upto=1) == [0]
    written = (tmp_path / SHARDS[0]).stat().st_mtime_ns
    work = writer(tmp_path)
    assert fill(work) == [1, 2]
    np.testing.assert_array_equal(ask(work.finish(ITEMS), 0, 1, 2, 3, 4), ROWS)
    assert (tmp_path / SHARDS[0]).stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "other",
    [
        {"about": {**ABOUT, "teacher_digest": "t2"}},
        {"positions": np.array([2, 1, 3, 2, 1])},
        {"windows_per_shard": 3},
    ],
)
def test_other_work_starts_afresh(folder, other):
    """With another cut into shards, the old files would be taken for parts they are not."""
    (folder / "notes.txt").write_text("mine")
    np.save(folder / "mine.npy", ITEMS)
    assert next(number for number, _ in writer(folder, **other).missing()) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["begun.json", "mine.npy", "notes.txt"]


def test_the_same_work_said_with_a_tuple_goes_on(tmp_path):
    fill(writer(tmp_path, about={"layers": (1, 2)}), upto=1)
    assert fill(writer(tmp_path, about={"layers": [1, 2]})) == [1, 2]


def test_a_full_disk_keeps_the_shards_that_were_finished(tmp_path, monkeypatch):
    work = writer(tmp_path)
    fill(work, upto=1)
    before = sha256_of_file(tmp_path / SHARDS[0])

    def full(file, array, **options):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(knowledge.np, "save", full)
    with pytest.raises(StorageError, match=r"no space left on the disk while writing .*00001.npy"):
        fill(work)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun.json", SHARDS[0]]
    assert sha256_of_file(tmp_path / SHARDS[0]) == before
    assert fill(writer(tmp_path)) == [1, 2]


def test_nothing_in_the_folder_can_run_code(folder):
    """np.load refuses pickled objects, and the rest is JSON."""
    np.save(folder / "item_vectors.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(KnowledgeError, match="is damaged"):
        Knowledge.open(folder)
    json.loads((folder / "manifest.json").read_text())
