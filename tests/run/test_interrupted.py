"""Interrupted, killed or out of disk: what is finished is kept, and the rest goes on to the same numbers."""

import shutil
import signal
import subprocess
import sys
import time
from itertools import count

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open

from distilrec import Recommender
from distilrec.distil import loop
from distilrec.errors import StorageError
from distilrec.evaluate.evaluation import Evaluation
from small_world import worked

NAMES = ["popularity", "item_knn", "ease", "student_alone", "teacher", "distilled"]
TRAINED = ["teacher", "student_alone/seed-0", "distilled/seed-0"]
STEPS = 8  # of each training: 60 windows in batches of 16, twice


def assert_same(ours, theirs):
    """To the last bit, for every user and every weight."""
    for name in NAMES:
        a, b = (Evaluation.load(folder / "evaluation" / name).per_user for folder in (ours, theirs))
        assert a.equals(b), name
    for name in TRAINED:
        a, b = (Recommender.from_pretrained(folder / name / "artefact").model.state() for folder in (ours, theirs))
        assert all(np.array_equal(a[key], b[key]) for key in a), name


@pytest.mark.parametrize("seconds", [0, 60], ids=["checkpoint after each batch", "after each epoch"])
@pytest.mark.parametrize(("number", "stage"), list(enumerate(TRAINED)))
def test_an_interrupt_in_training_changes_no_number(
    small, finished, copied, quick, monkeypatch, number, stage, seconds
):
    for name in ("teacher", "knowledge", "student_alone", "distilled", "evaluation", "latency"):
        shutil.rmtree(copied / name)
    settings = [f"{who}.train.checkpoint_seconds={seconds}" for who in ("teacher", "student")]
    steps = count()
    rate = loop.rate_factor

    def interrupted(*args):
        if next(steps) == STEPS * number + 6:  # in the second epoch
            raise KeyboardInterrupt
        return rate(*args)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "rate_factor", interrupted)
        with pytest.raises(KeyboardInterrupt):
            small.run(copied, *settings)
    with safe_open(copied / f"{stage}.partial" / "checkpoint.safetensors", framework="np") as file:
        assert f'"epoch": 1, "step": {2 if seconds == 0 else 0}' in file.metadata()["place"]
    said = small.run(copied, *settings)[1]
    assert f"{stage}: resumed" in said
    assert all(f"{name}: done before, kept" in said for name in TRAINED[:number])
    assert_same(copied, finished.folder)


def test_an_interrupt_between_two_models_of_the_baselines_loses_nothing(small, finished, tmp_path, quick, monkeypatch):
    saved, save = count(), Recommender.save_pretrained

    def interrupted(self, *args, **kwargs):
        if next(saved) == 1:
            raise KeyboardInterrupt
        save(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Recommender, "save_pretrained", interrupted)
        with pytest.raises(KeyboardInterrupt):
            small.run(tmp_path / "out")
    said = small.run(tmp_path / "out")[1]
    assert "baselines: resumed" in said
    assert_same(tmp_path / "out", finished.folder)


def test_a_run_that_was_killed_in_training_ends_in_the_same_numbers(small, tmp_path, quick):
    """A real process and a real `kill -9`, as soon as the first checkpoint is on disk."""
    settings = ["teacher.train.epochs=40", "teacher.train.patience=40", "teacher.train.checkpoint_seconds=0"]
    whole, _ = small.run(tmp_path / "whole", *settings)
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "distilrec", "run", str(small.folder / "recipe.yaml"), "--out", str(out)]
    command += [part for setting in settings for part in ("--set", setting)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        wait_for(out / "teacher.partial" / "checkpoint.safetensors", process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "teacher").exists()
    said = small.run(out, *settings)[1]
    assert "teacher: resumed" in said
    assert worked(said).isdisjoint({"data", "vectors", "baselines"})
    assert_same(out, whole.folder)


def wait_for(path, process):
    until = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, "the process ended before it wrote a checkpoint"
        assert time.monotonic() < until, f"{path} did not appear within a minute"
        time.sleep(0.002)


# ---- a full disk


def full(*args, **kwargs):
    raise OSError(28, "No space left on device")


def full_in_safetensors(*args, **kwargs):
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def full_in_numpy(*args, **kwargs):
    raise OSError("768 requested and 128 written")


@pytest.mark.parametrize(
    ("writer", "fault", "stage"),
    [
        ("polars.DataFrame.write_parquet", full, "data"),
        ("numpy.save", full_in_numpy, "vectors"),
        ("distilrec.distil.checkpoint.save_file", full_in_safetensors, "teacher"),
    ],
)
def test_a_full_disk_stops_a_stage_with_a_message_and_the_next_call_goes_on(
    small, finished, tmp_path, quick, monkeypatch, writer, fault, stage
):
    with monkeypatch.context() as patch:
        patch.setattr(writer, fault)
        with pytest.raises(StorageError, match=r"no space left on the disk while writing .*is kept; free some space"):
            small.run(tmp_path / "out")
    assert not (tmp_path / "out" / stage).exists()
    said = small.run(tmp_path / "out")[1]
    assert f"{stage}: resumed" in said
    assert_same(tmp_path / "out", finished.folder)


TOO_SMALL_THEN_LARGE = """
mkdir {disk} && mount -t tmpfs -o size=120k tmpfs {disk} || exit 77
{run}; first=$?
ls {disk}/out
mount -o remount,size=50m {disk}
{run} || exit 1
cp -r {disk}/out {copy}
exit $first
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full_stops_the_run_with_exit_code_2_and_the_next_call_goes_on(small, finished, tmp_path):
    """A disk of its own in memory, which a kernel must allow."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    run = f"{sys.executable} -m distilrec run {small.folder / 'recipe.yaml'} --out {tmp_path / 'disk'}/out"
    script = TOO_SMALL_THEN_LARGE.format(disk=tmp_path / "disk", run=run, copy=tmp_path / "copy")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip(f"no disk of our own may be mounted here: {done.stderr.strip()}")
    assert done.returncode == 2, done.stderr
    assert "error: no space left on the disk while writing" in done.stderr
    assert "Traceback" not in done.stderr
    assert "data: done before, kept" in done.stdout
    assert_same(tmp_path / "copy", finished.folder)
