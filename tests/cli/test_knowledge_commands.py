"""`distilrec knowledge`: take, import, verify, show; a student of what came from elsewhere; a kill in between."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from distilrec.files import read_json
from distilrec.knowledge import Knowledge
from distilrec.run import stages

TEN = ["--max-length", "10"]
SHORT = ["--set", "train.epochs=1", "--set", "train.batch_size=16"]


@pytest.fixture
def prepared(finished):
    return finished.folder / "data"


def test_help_names_what_can_be_done_with_knowledge(command):
    called = command("knowledge", "--help")
    assert called.code == 0
    for name in ("take", "import", "verify", "show"):
        assert name in called.out


def test_knowledge_is_taken_from_a_teacher_s_folder_or_an_artefact(command, finished, prepared, tmp_path):
    digests = []
    for number, teacher in enumerate((finished.folder / "teacher", finished.folder / "teacher/artefact")):
        out = tmp_path / str(number)
        called = command("knowledge", "take", teacher, prepared, "--out", out, *TEN, "--set", "top_k=5")
        assert called.code == 0, called.err
        assert re.search(r"wrote \S+: [\d,]+ bytes about [\d,]+ positions", called.out)
        found = Knowledge.open(out)
        digests.append(found.digest())
        assert found.manifest["teacher"] == {"kind": "transformer", "from": teacher.name}
    assert digests[0] == digests[1]


def test_verify_is_content_with_what_was_written_and_names_what_was_altered(command, finished, tmp_path):
    folder = shutil.copytree(finished.folder / "knowledge", tmp_path / "k")
    called = command("knowledge", "verify", folder)
    assert called.code == 0
    assert "every digest and shape is as the manifest says" in called.out
    path = folder / "history_vectors-00000.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    called = command("knowledge", "verify", folder)
    assert called.code == 1
    assert "history_vectors-00000.npy: its SHA-256 is not the one in the manifest" in called.out


def test_relations_are_taken_in_as_many_heads_as_the_settings_ask_for(command, finished, prepared, tmp_path):
    settings = ["soft_labels=none", "relations=[blocks.0.value]", "relation_heads=4"]
    sets = [part for setting in settings for part in ("--set", setting)]
    called = command("knowledge", "take", finished.folder / "teacher", prepared, "--out", tmp_path / "k", *TEN, *sets)
    assert called.code == 0, called.err
    assert Knowledge.open(tmp_path / "k").column_width("relation.blocks.0.value") == 4


@pytest.mark.parametrize("damage", ["truncated", "missing", "no manifest"])
def test_a_folder_that_is_not_whole_is_refused(command, finished, tmp_path, damage):
    folder = shutil.copytree(finished.folder / "knowledge", tmp_path / "k")
    path = folder / ("manifest.json" if damage == "no manifest" else "history_vectors-00000.npy")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        path.unlink()
    told = {"truncated": "is damaged", "missing": "is missing", "no manifest": "is not a finished knowledge folder"}
    for name in ("verify", "show"):
        called = command("knowledge", name, folder)
        assert called.code == 2
        assert told[damage] in called.err


def test_show_says_what_there_is_and_what_the_teacher_says(command, finished, prepared):
    called = command("knowledge", "show", finished.folder / "knowledge")
    assert called.code == 0
    for part in ("text_and_ids", "soft_labels", "history_vectors", "60 windows", "float16"):
        assert part in called.out
    called = command("knowledge", "show", finished.folder / "knowledge", "--data", prepared, "--samples", "2")
    assert called.code == 0, called.err
    assert called.out.count("items, the newest:") == 2
    ranks = re.findall(r"^ +(\d+)\. (0\.\d{4})  \w+ thing", called.out, flags=re.MULTILINE)
    assert [int(rank) for rank, _ in ranks] == [*range(1, 11)] * 2
    shares = [float(share) for _, share in ranks[:10]]
    assert shares == sorted(shares, reverse=True)


def test_show_refuses_the_titles_of_other_data(command, finished, tmp_path):
    pl.DataFrame({"user_id": [1, 1, 1, 2, 2, 2], "item_id": [5, 6, 7, 5, 6, 8]}).write_csv(tmp_path / "log.csv")
    assert command("data", tmp_path / "log.csv", "--out", tmp_path / "other").code == 0
    called = command("knowledge", "show", finished.folder / "knowledge", "--data", tmp_path / "other")
    assert called.code == 2
    assert "is of another catalogue" in called.err


@pytest.fixture
def rankings(prepared, tmp_path):
    """What an outside service might say: for every second user, the item that each item is followed by most."""
    loaded = stages.load_prepared(prepared).interactions
    users, items = loaded.users["user_id"], loaded.items["item_id"]
    rows = [
        {"user_id": user, "item_id": items[int(item)], "score": 5.0 - place}
        for number, user in enumerate(users)
        if number % 2 == 0
        for place, item in enumerate(np.random.default_rng(number).permutation(24)[:5])
    ]
    pl.DataFrame(rows).write_parquet(tmp_path / "outside.parquet")
    return tmp_path / "outside.parquet"


def test_a_student_learns_from_an_imported_file_alone(command, prepared, rankings, tmp_path):
    called = command("knowledge", "import", rankings, prepared, "--out", tmp_path / "k", *TEN)
    assert called.code == 0, called.err
    assert re.search(r"50\.0 ?%", called.out)  # half of the users
    student = ["--set", "model={width: 8, max_length: 10}", "--set", "distil.start_from_teacher=false", *SHORT]
    called = command("distil", prepared, "--out", tmp_path / "s", "--knowledge", tmp_path / "k", *student)
    assert called.code == 0, called.err
    assert (tmp_path / "s/artefact/model.safetensors").is_file()
    called = command("knowledge", "show", tmp_path / "k", "--data", prepared, "--samples", "4")
    assert "the teacher says nothing here" in called.out
    assert "<- came next" in called.out or "thing" in called.out


def test_a_student_learns_from_several_folders_with_a_share_each(command, finished, prepared, rankings, tmp_path):
    assert command("knowledge", "import", rankings, prepared, "--out", tmp_path / "k", *TEN).code == 0
    both = ["--knowledge", finished.folder / "knowledge", "--knowledge", tmp_path / "k"]
    student = ["--set", "model={width: 8, max_length: 10}", *SHORT]
    called = command("distil", prepared, "--out", tmp_path / "s", *both, "--weight", "0.7", "--weight", "0.3", *student)
    assert called.code == 0, called.err
    called = command("distil", prepared, "--out", tmp_path / "t", *both, "--weight", "0.7", "--weight", "0.2", *student)
    assert called.code == 2
    assert "the teachers' weights 0.7, 0.2 sum to 0.9; expected 1" in called.err


def test_vectors_come_with_an_import_for_the_student_to_start_from(command, prepared, rankings, tmp_path):
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(24, 12)).astype(np.float32))
    out = tmp_path / "k"
    called = command(
        "knowledge", "import", rankings, prepared, "--out", out, *TEN, "--vectors", tmp_path / "vectors.npy"
    )
    assert called.code == 0, called.err
    assert Knowledge.open(out).item_vectors().shape == (24, 12)
    student = ["--set", "model={width: 8, max_length: 10}", *SHORT]
    assert command("distil", prepared, "--out", tmp_path / "s", "--knowledge", out, *student).code == 0


def test_an_import_that_names_unknown_items_is_refused_with_what_to_do(command, prepared, tmp_path):
    pl.DataFrame({"user_id": ["nobody"], "item_id": ["nothing"], "score": [1.0]}).write_parquet(tmp_path / "x.parquet")
    called = command("knowledge", "import", tmp_path / "x.parquet", prepared, "--out", tmp_path / "k", *TEN)
    assert called.code == 2
    assert "unknown" in called.err
    assert not (tmp_path / "k").exists()


def test_teach_takes_settings_of_the_teacher_and_of_its_knowledge(command, prepared, tmp_path):
    knowledge = ["--set", "knowledge.soft_labels=top", "--set", "knowledge.top_k=4"]
    called = command("teach", prepared, "--out", tmp_path / "t", "--set", "kind=ease", *knowledge)
    assert called.code == 0, called.err
    assert re.search(r"best validation 0\.\d{5}; wrote ", called.out)
    assert Knowledge.open(tmp_path / "t/knowledge").columns["top_items"].shape == (4,)
    called = command("teach", prepared, "--out", tmp_path / "u", "--set", "kind=ease", "--set", "model.l3=1")
    assert called.code == 2
    assert "unknown setting 'teacher.model.l3'; known: l2, max_items" in called.err
    called = command("teach", prepared, "--out", tmp_path / "u", "--set", "model.width=8")
    assert called.code == 2
    assert "a teacher of kind text_and_ids reads item vectors; give the folder" in called.err


def test_a_killed_extraction_goes_on_where_it_stopped(finished, prepared, tmp_path):
    """SIGKILL after the first shard, in a process of its own; the second call writes the others alone."""
    out, script = tmp_path / "k", tmp_path / "take.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from distilrec.knowledge import KnowledgeWriter\n"
        "from distilrec.run import stages, teachers\n"
        "from distilrec.teach import extract as module\n"
        "from distilrec.teach.settings import KnowledgeSettings\n"
        "data, teacher, out, slow = sys.argv[1:]\n"
        "write = KnowledgeWriter.write_shard\n"
        "def slowly(self, number, arrays):\n"
        "    write(self, number, arrays)\n"
        "    time.sleep(float(slow))\n"
        "KnowledgeWriter.write_shard = slowly\n"
        "extract = module.extract\n"
        "teachers.extract = lambda *a, **o: extract(*a, **o, most_windows_per_shard=20)\n"
        "loaded = stages.load_prepared(Path(data))\n"
        "source = teachers.open_teacher(Path(teacher), loaded, 10)\n"
        "whole = KnowledgeSettings(soft_labels='whole')\n"
        "teachers.take_knowledge(source, loaded, Path(out), max_length=10, settings=whole, quiet=True)\n",
        encoding="utf-8",
    )
    arguments = [sys.executable, str(script), str(prepared), str(finished.folder / "teacher"), str(out)]
    running = subprocess.Popen([*arguments, "600"], stderr=subprocess.PIPE)
    shard, began = out / "history_vectors-00000.npy", time.monotonic()
    while not shard.exists():
        assert running.poll() is None, running.stderr.read().decode()
        assert time.monotonic() - began < 60
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    written = shard.stat().st_mtime_ns
    assert not (out / "manifest.json").exists()
    subprocess.run([*arguments, "0"], check=True, capture_output=True)
    assert shard.stat().st_mtime_ns == written
    assert read_json(out / "manifest.json")["windows"] == 60
    assert Knowledge.open(out).verify() == []
