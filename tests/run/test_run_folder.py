"""A run's folder: finished stages are skipped, unfinished ones go on, and nothing finished is ever lost."""

import shutil
import subprocess
import sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from distilrec.errors import ArtifactError, StorageError
from distilrec.files import is_leftover, read_json
from distilrec.run.folder import RunFolder, digest_of_stage, inputs_of_stage, seconds_of_stage


class Killed(BaseException):
    """What stands for `kill -9`: nobody catches it."""


@pytest.fixture
def said():
    return []


@pytest.fixture
def folder(tmp_path, said):
    return RunFolder(tmp_path / "run", say=said.append)


def write(text):
    def work(place):
        (place / "result.txt").write_text(text)

    return work


def fail(place):
    (place / "half.txt").write_text("half")
    raise Killed


def never(place):
    raise AssertionError("this stage was done before")


def test_a_stage_leaves_what_it_made_with_its_inputs_and_its_time(folder, said):
    done = folder.stage("teacher", {"epochs": 3}, write("made"))
    assert done == folder.path / "teacher"
    assert (done / "result.txt").read_text() == "made"
    assert read_json(done / "stage.json")["inputs"] == {"epochs": 3}
    assert seconds_of_stage(done) < 1
    assert said == ["teacher: started", "teacher: done in 0.0 s"]


def test_a_finished_stage_is_not_done_again(folder, said):
    first = folder.stage("teacher", {"epochs": 3}, write("made"))
    assert folder.stage("teacher", {"epochs": 3}, never) == first
    assert said[-1] == "teacher: done before, kept"


def test_other_inputs_make_another_key_and_redo_the_stage(folder):
    first = digest_of_stage(folder.stage("teacher", {"epochs": 3}, write("three")))
    done = folder.stage("teacher", {"epochs": 4}, write("four"))
    assert (done / "result.txt").read_text() == "four"
    assert digest_of_stage(done) != first
    assert [path.name for path in folder.path.iterdir()] == ["teacher"]


def test_two_stages_with_the_same_inputs_have_different_keys(folder):
    keys = {digest_of_stage(folder.stage(name, {}, write(""))) for name in ("a", "b/seed-0", "b/seed-1")}
    assert len(keys) == 3


def test_an_unfinished_stage_goes_on_in_what_it_left(folder, said):
    with pytest.raises(Killed):
        folder.stage("teacher", {"epochs": 3}, fail)
    assert not (folder.path / "teacher").exists()

    def go_on(place):
        assert (place / "half.txt").read_text() == "half"

    folder.stage("teacher", {"epochs": 3}, go_on)
    assert "teacher: resumed" in said
    assert read_json(folder.path / "teacher" / "stage.json")["resumed"]


def test_unfinished_work_with_other_inputs_is_thrown_away(folder, said):
    with pytest.raises(Killed):
        folder.stage("teacher", {"epochs": 3}, fail)
    done = folder.stage("teacher", {"epochs": 4}, write("four"))
    assert not (done / "half.txt").exists()
    assert "teacher: resumed" not in said


def test_a_failure_leaves_the_old_result_which_still_counts(folder):
    folder.stage("teacher", {"epochs": 3}, write("three"))
    with pytest.raises(Killed):
        folder.stage("teacher", {"epochs": 4}, fail)
    done = folder.stage("teacher", {"epochs": 3}, never)
    assert (done / "result.txt").read_text() == "three"


@contextmanager
def killed_at(monkeypatch, moment):
    """The steps are: the old result aside, the new one in its place, the old one away."""
    steps = count()

    def die_or(step):
        def wrapped(*args):
            if next(steps) == moment:
                raise Killed
            return step(*args)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", die_or(Path.rename))
        patch.setattr(shutil, "rmtree", die_or(shutil.rmtree))
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_kill_while_the_new_result_takes_its_place_loses_neither(folder, monkeypatch, moment):
    folder.stage("teacher", {"epochs": 3}, write("three"))
    with killed_at(monkeypatch, moment):
        folder.stage("teacher", {"epochs": 4}, write("four"))
    if moment < 2:
        assert (folder.stage("teacher", {"epochs": 3}, never) / "result.txt").read_text() == "three"
    assert (folder.stage("teacher", {"epochs": 4}, never) / "result.txt").read_text() == "four"
    assert [path.name for path in folder.path.iterdir()] == ["teacher"]


@pytest.mark.parametrize("moment", [1, 2])
def test_what_a_kill_left_is_told_from_finished_stages(folder, monkeypatch, moment):
    """Killed before the new result has its name, and before the old one is deleted."""
    folder.stage("distilled/seed-1", {"epochs": 3}, write("three"))
    with killed_at(monkeypatch, moment):
        folder.stage("distilled/seed-1", {"epochs": 4}, write("four"))
    left = {path.name: is_leftover(path.relative_to(folder.path)) for path in folder.path.glob("distilled/*")}
    assert left.pop("seed-1.old")
    assert left == ({"seed-1.partial": True} if moment == 1 else {"seed-1": False})


def test_what_lies_in_a_leftover_is_one_too():
    assert is_leftover(Path("student_alone.old/seed-0"))
    assert not is_leftover(Path("teacher/folds/0"))


def test_the_inputs_of_a_stage_are_read_back_and_of_another_folder_there_are_none(folder):
    assert inputs_of_stage(folder.stage("teacher", {"epochs": 3}, write("made"))) == {"epochs": 3}
    assert inputs_of_stage(folder.path) == {}


def test_what_a_killed_process_was_writing_is_swept_away(folder):
    """Files are written beside their place under a hidden name; see `files.atomic_path`."""
    left = [folder.path / ".results.json.1a2b.partial", folder.path / "teacher.partial" / ".model.3c4d.partial"]
    for path in left:
        path.mkdir(parents=True)
        (path / ".inside.5e6f.partial").write_text("half")
    with folder.locked():
        assert not any(path.exists() for path in left)
        assert (folder.path / "teacher.partial").exists()


def test_a_folder_is_tied_to_the_data_of_its_first_run(folder):
    folder.claim(data_digest="aaaa")
    folder.claim(data_digest="aaaa")
    with pytest.raises(
        ArtifactError, match=r"run holds a run on another data set.*digest aaaa, this one is bbbb.*--out"
    ):
        folder.claim(data_digest="bbbb")
    assert read_json(folder.path / "run.json")["data_digest"] == "aaaa"


def test_a_folder_with_files_of_its_own_is_refused_and_left_as_it_was(folder):
    """A run would replace the user's folder `data` by its own."""
    (folder.path / "data").mkdir(parents=True)
    (folder.path / "data" / "mine.csv").write_text("mine")
    with pytest.raises(
        ArtifactError, match=r"holds data and no run; a run there could replace them. Give another --out"
    ):
        folder.claim(data_digest="aaaa")
    assert [path.name for path in folder.path.iterdir()] == ["data"]
    assert (folder.path / "data" / "mine.csv").read_text() == "mine"


def test_many_files_are_not_all_listed(folder):
    folder.path.mkdir()
    for name in "abcdefg":
        (folder.path / name).touch()
    with pytest.raises(ArtifactError, match=r"holds a, b, c, d, e \.\.\. and no run"):
        folder.claim(data_digest="aaaa")


def test_a_hidden_file_does_not_make_a_folder_taken(folder):
    folder.path.mkdir()
    (folder.path / ".gitignore").touch()
    folder.claim(data_digest="aaaa")


HOLD = """
import sys
from pathlib import Path
from distilrec.run.folder import RunFolder
with RunFolder(Path(sys.argv[1]), say=print).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_kept_out_until_the_first_is_gone_however_it_went(folder):
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(ArtifactError, match=r"another process is working in .*run; wait for it or give another"):
            folder.locked().__enter__()
        other.kill()
    with folder.locked():
        pass


@pytest.mark.parametrize("place", ["taken", "taken/run"])
def test_a_file_where_the_folder_should_be_is_named(tmp_path, place):
    (tmp_path / "taken").touch()
    with pytest.raises(ArtifactError, match=f"{place} cannot be a run's folder, because a file is in its place"):
        RunFolder(tmp_path / place, say=print).locked().__enter__()


def test_a_folder_that_cannot_be_written_is_named(folder, monkeypatch):
    """Whoever runs the tests may be root, to whom everything is allowed."""

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(StorageError, match="run cannot be written: Permission denied; give another --out"):
        folder.locked().__enter__()
