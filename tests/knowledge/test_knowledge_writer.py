"""A knowledge folder fills up shard by shard, whoever is killed and however many write at once."""

import errno
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from small_knowledge import (
    ABOUT,
    ITEMS,
    POSITIONS,
    ROWS,
    SHARDS,
    VECTORS,
    files,
    fill,
    finish,
    windows_batch,
    write,
    writer,
)

from distilrec.errors import KnowledgeError, StorageError
from distilrec.files import read_json, sha256_of_file
from distilrec.knowledge import Column, Knowledge, layout
from distilrec.knowledge import writer as writer_module

ALL = windows_batch(0, 1, 2, 3, 4)


def history_vectors(folder):
    return Knowledge.open(folder).column("history_vectors", ALL)


@pytest.mark.parametrize("windows_per_shard", [1, 2, 3, 5, 99])
def test_the_number_of_shards_makes_no_difference(tmp_path, windows_per_shard):
    work = writer(tmp_path, windows_per_shard=windows_per_shard)
    assert len(fill(work)) == -(-5 // windows_per_shard)
    finish(work)
    np.testing.assert_array_equal(history_vectors(tmp_path), ROWS)


def test_a_shard_has_a_window(tmp_path):
    with pytest.raises(KnowledgeError, match="windows_per_shard is 0; expected at least 1"):
        writer(tmp_path, windows_per_shard=0)


def test_windows_done_are_counted_by_whole_shards(tmp_path):
    work = writer(tmp_path)
    assert work.n_done == 0
    fill(work, upto=1)
    assert work.n_done == 2


def test_an_extraction_that_was_killed_goes_on_at_its_next_shard(tmp_path):
    assert fill(writer(tmp_path), upto=1) == [0]
    written = (tmp_path / SHARDS[0]).stat().st_mtime_ns
    work = writer(tmp_path)
    assert fill(work) == [1, 2]
    finish(work)
    np.testing.assert_array_equal(history_vectors(tmp_path), ROWS)
    assert (tmp_path / SHARDS[0]).stat().st_mtime_ns == written


@pytest.mark.parametrize("lost", [*SHARDS, "item_vectors.npy", "positions.npy"])
def test_whichever_file_a_kill_left_out_is_written_again_and_no_other(folder, lost):
    """The manifest is the last to be written, so with any other file it is missing too."""
    digest = Knowledge.open(folder).digest()
    for name in (lost, "manifest.json"):
        (folder / name).unlink()
    work = writer(folder)
    assert fill(work) == ([SHARDS.index(lost)] if lost in SHARDS else [])
    assert finish(work).digest() == digest
    assert Knowledge.open(folder).verify() == []


def test_a_shard_with_one_of_its_columns_is_written_again(tmp_path):
    columns = [VECTORS, Column("lengths", (), "int32", per="window")]
    work = writer(tmp_path, columns=columns)
    both = {"history_vectors": ROWS[:3], "lengths": np.array([2, 1])}
    work.write_shard(0, both)
    (tmp_path / "lengths-00000.npy").unlink()
    assert next(number for number, _ in writer(tmp_path, columns=columns).missing()) == 0


KILLED_WHILE_WRITING = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from pathlib import Path
from small_knowledge import fill, writer
from distilrec.knowledge import layout

def die(file, array, **options):
    file.write(b"half"); file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

work = writer(Path(sys.argv[1]))
fill(work, upto=1)
layout.np.save = die
fill(work)
"""


def run(code, folder):
    command = [sys.executable, "-c", code, str(folder), str(Path(__file__).parent)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_process_killed_in_the_middle_of_a_shard_leaves_no_half_of_it(tmp_path):
    with run(KILLED_WHILE_WRITING, tmp_path) as process:
        assert process.wait() == -signal.SIGKILL
    assert [name for name in files(tmp_path) if not name.startswith(".")] == ["begun.json", SHARDS[0]]
    assert any(name.endswith(".partial") for name in files(tmp_path))
    work = writer(tmp_path)
    assert fill(work) == [1, 2]
    finish(work)
    np.testing.assert_array_equal(history_vectors(tmp_path), ROWS)
    assert files(tmp_path) == sorted(["begun.json", *SHARDS, "item_vectors.npy", "manifest.json", "positions.npy"])


def test_two_writers_take_different_shards(tmp_path):
    first, second = writer(tmp_path).missing(), writer(tmp_path).missing()
    assert [next(first)[0], next(second)[0]] == [0, 1]
    assert next(first)[0] == 2  # 1 is worked on, and 0, which it gave up, is free again
    assert next(writer(tmp_path).missing())[0] == 0


FILLS = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from small_knowledge import fill, finish, writer

print("ready", flush=True)
sys.stdin.readline()
work = writer(Path(sys.argv[1]), windows_per_shard=1)
print(*fill(work, pause=0.02), flush=True)
finish(work)
"""


def test_several_processes_fill_one_folder_and_write_every_shard_once(tmp_path):
    processes = [run(FILLS, tmp_path) for _ in range(3)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    numbers = [int(number) for process in processes for number in process.stdout.readline().split()]
    assert [process.wait() for process in processes] == [0, 0, 0]
    for process in processes:
        process.stdin.close()
        process.stdout.close()
    assert sorted(numbers) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(history_vectors(tmp_path), ROWS)
    assert Knowledge.open(tmp_path).verify() == []


HOLDS_A_SHARD = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from small_knowledge import writer

shards = writer(Path(sys.argv[1])).missing()
print(next(shards)[0], flush=True)
sys.stdin.readline()
"""


def test_the_shard_of_a_process_that_dies_is_free_again(tmp_path):
    with run(HOLDS_A_SHARD, tmp_path) as process:
        assert process.stdout.readline() == "0\n"
        assert fill(writer(tmp_path)) == [1, 2]
        process.kill()
    assert fill(writer(tmp_path)) == [0]


def test_the_end_waits_for_a_shard_that_another_still_works_on(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "_POLL_SECONDS", 0.01)
    other = writer(tmp_path).missing()
    number, _ = next(other)
    work = writer(tmp_path)
    assert fill(work) == [1, 2]
    late = threading.Timer(0.1, lambda: writer(tmp_path).write_shard(number, {"history_vectors": ROWS[:3]}))
    late.start()
    finish(work)
    late.join()
    np.testing.assert_array_equal(history_vectors(tmp_path), ROWS)


def test_the_end_does_not_wait_for_a_shard_that_nobody_works_on(tmp_path):
    work = writer(tmp_path)
    fill(work, upto=1)
    with pytest.raises(KnowledgeError, match=r"shard 1 of .* is missing; go on with the extraction first"):
        finish(work)


@pytest.mark.parametrize(
    "other",
    [
        {"about": {**ABOUT, "teacher_digest": "t2"}},
        {"positions": np.array([2, 1, 3, 2, 1])},
        {"columns": (Column("history_vectors", (4,), "float16"),)},
    ],
    ids=["teacher", "windows", "columns"],
)
def test_other_work_starts_afresh(folder, other):
    (folder / "notes.txt").write_text("mine")
    assert next(number for number, _ in writer(folder, **other).missing()) == 0
    assert [name for name in files(folder) if not name.startswith(".")] == ["begun.json", "notes.txt"]


@pytest.mark.parametrize("windows_per_shard", [1, 3])
def test_work_that_is_gone_on_with_keeps_its_cut_into_shards(tmp_path, windows_per_shard):
    """As with another bound on the memory. With another cut, the old files would be taken for parts they are not."""
    fill(writer(tmp_path), upto=2)
    work = writer(tmp_path, windows_per_shard=windows_per_shard)
    assert fill(work) == [2]
    finish(work)
    np.testing.assert_array_equal(history_vectors(tmp_path), ROWS)


def test_arrays_of_somebody_else_are_not_deleted(tmp_path):
    np.save(tmp_path / "mine.npy", ITEMS)
    with pytest.raises(KnowledgeError, match=r"also holds mine.npy, which knowledge there would delete; name another"):
        writer(tmp_path)
    assert (tmp_path / "mine.npy").exists()


def test_the_same_work_said_with_a_tuple_goes_on(tmp_path):
    fill(writer(tmp_path, about={"layers": (1, 2)}), upto=1)
    assert fill(writer(tmp_path, about={"layers": [1, 2]})) == [1, 2]


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_broken_teacher_is_refused_and_leaves_nothing(tmp_path, broken, dtype):
    work = writer(tmp_path, columns=[Column("history_vectors", (4,), dtype)])
    rows = ROWS[:3].copy()
    rows[1, 2] = broken
    with pytest.raises(KnowledgeError, match="history_vectors of shard 0 holds NaN or infinity; the teacher is broken"):
        work.write_shard(0, {"history_vectors": rows})
    with pytest.raises(KnowledgeError, match="the table item_vectors holds NaN or infinity"):
        work.write_table("item_vectors", np.full((6, 4), broken, np.float32))
    assert [name for name in files(tmp_path) if not name.startswith(".")] == ["begun.json"]


@pytest.mark.parametrize(
    ("dtype", "largest", "too_large"), [("float16", 65504, 65505), ("int16", 32767, 32768)], ids=["float16", "int16"]
)
def test_a_number_that_its_type_can_not_hold_is_refused(tmp_path, dtype, largest, too_large):
    columns = [Column("numbers", (), dtype, per="window")]
    work = writer(tmp_path, columns=columns)
    work.write_shard(0, {"numbers": np.array([1.0, -largest])})
    assert np.load(tmp_path / "numbers-00000.npy").tolist() == [1, -largest]
    message = f"numbers of shard 1 holds {too_large}, which {dtype} cannot; extract with dtype float32"
    with pytest.raises(KnowledgeError, match=message):
        work.write_shard(1, {"numbers": np.array([1.0, too_large])})


@pytest.mark.parametrize(("rows", "shape"), [(ROWS[:2], r"\(2, 4\)"), (ROWS[:3, 0], r"\(3,\)")])
def test_a_shard_of_the_wrong_shape_is_refused(tmp_path, rows, shape):
    with pytest.raises(KnowledgeError, match=rf"history_vectors of shard 0 has shape {shape}; expected \(3, 4\)"):
        writer(tmp_path).write_shard(0, {"history_vectors": rows})


def test_other_columns_than_were_announced_are_refused(tmp_path):
    with pytest.raises(KnowledgeError, match=r"shard 0 has other; expected history_vectors"):
        writer(tmp_path).write_shard(0, {"other": ROWS[:3]})


def test_a_full_disk_keeps_the_shards_that_were_finished(tmp_path, monkeypatch):
    work = writer(tmp_path)
    fill(work, upto=1)
    before = sha256_of_file(tmp_path / SHARDS[0])

    def full(file, array, **options):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(layout.np, "save", full)
    with pytest.raises(StorageError, match=r"no space left on the disk while writing .*00001.npy"):
        fill(work)
    monkeypatch.undo()
    assert [name for name in files(tmp_path) if not name.endswith(".lock")] == ["begun.json", SHARDS[0]]
    assert sha256_of_file(tmp_path / SHARDS[0]) == before
    assert fill(writer(tmp_path)) == [1, 2]


def test_the_manifest_says_what_it_is_about_and_how_much_there_is(folder):
    manifest = read_json(folder / "manifest.json")
    told = {key: manifest[key] for key in ("format", "format_version", "n_items", "windows", "positions", "kinds")}
    assert told == {
        "format": "distilrec-knowledge",
        "format_version": 2,
        "n_items": 6,
        "windows": 5,
        "positions": 9,
        "kinds": ["soft_labels", "item_vectors"],
    }
    assert ABOUT.items() <= manifest.items()
    assert [shard["positions"] for shard in manifest["shards"]] == [3, 4, 2]
    assert manifest["tables"]["item_vectors"]["shape"] == [6, 4]
    assert manifest["seconds"] >= 0
    assert "Python" in manifest["machine"]
    assert manifest["created"].endswith("Z")


def test_facts_about_the_teacher_can_not_overwrite_those_of_the_format(tmp_path):
    assert write(tmp_path, about={**ABOUT, "format_version": 99, "n_items": 0}).n_items == 6


def test_positions_are_those_of_the_windows(folder):
    assert Knowledge.open(folder).table("positions").tolist() == POSITIONS.tolist()
