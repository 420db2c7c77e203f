"""A run that was killed, wherever it was, ends in the same weights to the last bit as one that was not.

Run as a script, this file is the victim: it kills itself with SIGKILL in the middle of training.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from distilrec.data.batches import Windows
from distilrec.distil.loop import train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.distil.weights import map_layers
from distilrec.errors import StorageError, TrainingError
from distilrec.models.tables import ContentTable
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.teach.teacher import VectorTeacher
from distilrec.types import Ragged

N_ITEMS, BATCHES = 8, 4  # batches in an epoch
SHAPE = TransformerSettings(width=8, max_length=5, dropout=0.3)
SETTINGS = TrainSettings(epochs=3, batch_size=5, learning_rate=0.01, precision="float32", checkpoint_seconds=0)


def windows(shift=0):
    draw = np.random.default_rng(0)
    walks = [(draw.integers(N_ITEMS, size=draw.integers(2, 7)) + shift) % N_ITEMS for _ in range(BATCHES * 5)]
    return Windows.cut(Ragged.of(walks), max_length=5)


def student(seed=0, shape=SHAPE, **options):
    torch.manual_seed(seed)
    return Transformer(shape, N_ITEMS, **options)


def teacher(seed=5):
    return VectorTeacher(student(seed))


def validate(model):
    """Something that depends on the weights, and is best in the middle of training."""
    return -abs(float(model.item_vectors().detach().std()) - 0.03)


def go(path, *, model=None, data=None, settings=SETTINGS, source=None, distil=None, judge=validate, towards=None):
    """Train, and say how many batches that took."""
    model, batches = model or student(), []
    hook = model.register_forward_pre_hook(lambda *_: batches.append(1) if model.training else None)
    report = train(
        model,
        data or windows(),
        validate=judge,
        settings=settings,
        knowledge=source or teacher(),
        distil=distil,
        towards=towards,
        checkpoint_path=path,
        quiet=True,
    )
    hook.remove()
    return model, report, len(batches)


class PowerCutError(Exception):
    """Stands for a kill."""


def cut_at(batch):
    """A model whose training ends before this batch, counted from 1."""
    model, seen = student(), []

    def count(*_):
        seen.append(1)
        if model.training and len(seen) == batch:
            raise PowerCutError

    model.register_forward_pre_hook(count)
    return model


def interrupt(path, batch, **options):
    with pytest.raises(PowerCutError):
        go(path, model=cut_at(batch), **options)


def without_seconds(report):
    return report.best_epoch, report.best_score, [{**e, "seconds": 0} for e in report.epochs]


def assert_same_end(found, wanted):
    for name, value in wanted[0].state_dict().items():
        assert torch.equal(found[0].state_dict()[name], value), name
    assert without_seconds(found[1]) == without_seconds(wanted[1])


@pytest.fixture(scope="module")
def whole():
    """What an undisturbed run gives."""
    found = go(None)
    assert found[2] == 3 * BATCHES
    assert len({epoch["score"] for epoch in found[1].epochs}) == 3
    return found


@pytest.mark.parametrize(("batch", "left"), [(1, 12), (3, 10), (4, 9), (5, 8), (7, 6), (12, 1)])
def test_a_run_cut_before_any_batch_goes_on_there_to_the_same_end(tmp_path, whole, batch, left):
    """The last batch of an epoch has no checkpoint of its own: it is kept with the epoch's validation."""
    interrupt(tmp_path / "run", batch)
    found = go(tmp_path / "run")
    assert_same_end(found, whole)
    assert found[2] == left


def test_a_run_cut_while_validating_goes_on_to_the_same_end(tmp_path, whole):
    scores = []

    def judge(model):
        scores.append(1)
        if len(scores) == 2:
            raise PowerCutError
        return validate(model)

    with pytest.raises(PowerCutError):
        go(tmp_path / "run", judge=judge)
    assert_same_end(go(tmp_path / "run"), whole)


def test_a_run_may_be_cut_many_times(tmp_path, whole):
    for _ in range(3):
        interrupt(tmp_path / "run", 3)
    assert_same_end(go(tmp_path / "run"), whole)


def test_a_run_that_had_ended_is_not_trained_again(tmp_path, whole):
    go(tmp_path / "run")
    found = go(tmp_path / "run")
    assert found[2] == 0
    assert_same_end(found, whole)


def test_a_checkpoint_makes_no_difference_to_the_result(tmp_path, whole):
    assert_same_end(go(tmp_path / "run", settings=SETTINGS.with_changes(checkpoint_seconds=1e9)), whole)


def test_checkpoint_seconds_say_how_much_can_be_lost(tmp_path):
    rare = SETTINGS.with_changes(checkpoint_seconds=1e9)
    interrupt(tmp_path / "run", 4, settings=rare)
    assert not (tmp_path / "run").exists()
    interrupt(tmp_path / "run", 7, settings=rare)  # in the second epoch: the first one is kept
    assert go(tmp_path / "run", settings=rare)[2] == 2 * BATCHES


def test_how_often_checkpoints_are_written_may_change_in_between(tmp_path, whole):
    interrupt(tmp_path / "run", 7)
    found = go(tmp_path / "run", settings=SETTINGS.with_changes(checkpoint_seconds=60))
    assert_same_end(found, whole)
    assert found[2] == 6


def content(scale):
    return ContentTable(np.random.default_rng(0).normal(size=(N_ITEMS, 3)).astype(np.float32) * scale, 8)


def others():
    """Runs that differ from the one that was cut in one thing each, all of the same shapes."""
    return {
        "settings": {"settings": SETTINGS.with_changes(learning_rate=0.02)},
        "precision": {"settings": SETTINGS.with_changes(precision="bfloat16")},
        "alpha": {"distil": DistilSettings(alpha=0.3)},
        "data": {"data": windows(shift=1)},
        "first weights": {"model": student(seed=1)},
        "dropout": {"model": student(shape=SHAPE.with_changes(dropout=0.4))},
        "teacher": {"source": teacher(seed=6)},
    }


@pytest.mark.parametrize("difference", others())
def test_another_run_starts_afresh(tmp_path, difference):
    interrupt(tmp_path / "run", 7)
    changed = others()[difference]
    found = go(tmp_path / "run", **changed)
    assert found[2] == 3 * BATCHES
    assert_same_end(found, go(None, **others()[difference]))


def test_a_teacher_whose_items_are_shuffled_is_another_teacher(tmp_path):
    """The sum of its numbers is the same."""
    interrupt(tmp_path / "run", 7)
    model = student(5)
    with torch.no_grad():
        model.table.weight.copy_(model.table.weight.flip(0))
    assert go(tmp_path / "run", source=VectorTeacher(model))[2] == 3 * BATCHES


def test_other_content_under_the_same_weights_is_another_run(tmp_path):
    """Content is not among the weights that a checkpoint keeps."""
    torch.manual_seed(0)
    table = content(1.0)
    go(tmp_path / "run", model=student(table=table))
    torch.manual_seed(0)
    assert go(tmp_path / "run", model=student(table=content(1.0)))[2] == 0
    torch.manual_seed(0)
    assert go(tmp_path / "run", model=student(table=content(2.0)))[2] == 3 * BATCHES


@pytest.mark.parametrize("keep", [0, 7, 200, -1])
def test_a_damaged_checkpoint_is_named_with_what_to_do(tmp_path, keep):
    interrupt(tmp_path / "run", 7)
    (tmp_path / "run").write_bytes((tmp_path / "run").read_bytes()[:keep])
    with pytest.raises(TrainingError, match=r"run is damaged \(.*\); delete it to train from the start"):
        go(tmp_path / "run")


def test_a_full_disk_keeps_the_last_whole_checkpoint(tmp_path, monkeypatch, whole):
    interrupt(tmp_path / "run", 6)

    def full(tensors, file, metadata):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("distilrec.distil.checkpoint.save_file", full)
        with pytest.raises(StorageError, match=r"no space left on the disk while writing .*run"):
            go(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    found = go(tmp_path / "run")
    assert_same_end(found, whole)
    assert found[2] == 7


LEARNING = DistilSettings(
    alpha=0.5,
    losses=(
        {"kind": "hidden_states", "projection": "linear"},
        {"kind": "distillation_experts", "experts": 2},
        {"kind": "view_consistency"},
    ),
    auxiliary_head=True,
    curriculum={"start_share": 0.5},
    trust={"target": 0.5},
)
AUGMENTED = SETTINGS.with_changes(augment={"mask": 0.5, "substitute": 0.5})


@pytest.mark.parametrize("settings", [SETTINGS, AUGMENTED], ids=["plain", "augmented"])
def test_what_is_learnt_beside_the_student_goes_on_where_it_was(tmp_path, settings):
    """Projections, experts and the head are no part of the student, and the student depends on them."""
    interrupt(tmp_path / "run", 7, settings=settings, distil=LEARNING)
    with safe_open(tmp_path / "run", framework="pt") as file:
        beside = {name for name in file.keys() if name.startswith("model.objective.")}  # noqa: SIM118  (not a dict)
    assert {"model.objective.head.weight", "model.objective.terms.hidden_states.projection.layers.0.weight"} <= beside
    found = go(tmp_path / "run", settings=settings, distil=LEARNING)
    whole = go(None, settings=settings, distil=LEARNING)
    assert found[2] < whole[2]
    assert_same_end(found, whole)


def test_a_projection_begins_the_same_for_the_same_seed_whatever_was_drawn_before():
    ends = []
    for draws in (0, 7):
        source, model = teacher(), student()
        torch.rand(draws)
        ends.append(go(None, model=model, source=source, distil=LEARNING))
    assert_same_end(*ends)


def test_a_student_that_is_drawn_to_its_teacher_goes_on_to_the_same_end(tmp_path):
    """The weights that it is drawn to are not in the checkpoint: whoever starts it again gives them again."""
    pulled = {"distil": DistilSettings(layers={"blocks.0": "blocks.0"}, pull=0.3)}
    pulled["towards"] = map_layers(student(), student(5).state(), pulled["distil"].layers)
    interrupt(tmp_path / "run", 7, **pulled)
    found, free = go(tmp_path / "run", **pulled), go(None)
    assert found[2] == 6
    assert_same_end(found, go(None, **pulled))
    assert not torch.equal(found[0].blocks[0].query_key_value.weight, free[0].blocks[0].query_key_value.weight)


def test_another_goal_of_the_pull_is_another_run(tmp_path):
    distil = DistilSettings(layers={"blocks.0": "blocks.0"}, pull=0.3)
    near, far = (map_layers(student(), student(seed).state(), distil.layers) for seed in (5, 6))
    interrupt(tmp_path / "run", 7, distil=distil, towards=near)
    assert go(tmp_path / "run", distil=distil, towards=far)[2] == 3 * BATCHES


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is a thing of POSIX systems")
def test_a_process_killed_in_the_middle_of_an_epoch_goes_on_in_another_to_the_same_end(tmp_path, whole):
    victim = subprocess.run([sys.executable, __file__, str(tmp_path / "run")], capture_output=True, text=True)
    assert (victim.returncode, victim.stderr) == (-signal.SIGKILL, "")
    found = go(tmp_path / "run")
    assert_same_end(found, whole)
    assert found[2] == 3 * BATCHES - 6


def _die_before_batch_seven(path):
    model, seen = student(), []

    def count(*_):
        seen.append(1)
        if len(seen) == 7:
            os.kill(os.getpid(), signal.SIGKILL)

    model.register_forward_pre_hook(count)
    go(path, model=model)


if __name__ == "__main__":
    _die_before_batch_seven(Path(sys.argv[1]))
