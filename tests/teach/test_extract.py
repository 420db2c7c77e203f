"""What a teacher says is the same on disk, live, and asked directly; a student can not tell them apart."""

import numpy as np
import pytest
import torch

from distilrec.data.batches import Windows
from distilrec.distil.loop import train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import SettingsError
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.teach.extract import LiveTeacher, extract
from distilrec.teach.text_and_ids import TeacherSettings, build_teacher
from distilrec.types import Ragged

N_ITEMS = 10


@pytest.fixture
def windows():
    draw = np.random.default_rng(0)
    return Windows.cut(Ragged.of([draw.integers(N_ITEMS, size=draw.integers(2, 9)) for _ in range(30)]), max_length=4)


@pytest.fixture
def teacher():
    """Left in training mode, with dropout: what it says must not depend on that."""
    torch.manual_seed(0)
    content = np.random.default_rng(0).normal(size=(N_ITEMS, 12)).astype(np.float32)
    return build_teacher(TeacherSettings(width=16, max_length=4, dropout=0.5), content).train()


def take(teacher, folder, windows, **options):
    return extract(
        teacher,
        folder,
        make_batch=windows.batch,
        positions=windows.positions,
        windows_digest=windows.digest(),
        quiet=True,
        **options,
    )


@pytest.mark.parametrize("windows_per_shard", [7, 8192])
def test_disk_live_and_a_direct_question_agree(tmp_path, teacher, windows, windows_per_shard):
    found = take(teacher, tmp_path, windows, windows_per_shard=windows_per_shard)
    live = LiveTeacher(teacher)
    batch = windows.batch(np.array([3, 20, 0, 11]))
    with torch.no_grad():
        history, items = teacher.eval()(batch)
    for source in (found, live):
        np.testing.assert_allclose(source.history_vectors(batch), history.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(source.item_vectors(), items.numpy(), rtol=1e-4, atol=1e-6)


def test_a_live_teacher_is_a_copy(teacher, windows):
    live, batch = LiveTeacher(teacher), windows.batch(np.array([0, 1]))
    before = live.history_vectors(batch), live.digest()
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(live.history_vectors(batch), before[0])
    assert live.digest() == before[1] != LiveTeacher(teacher).digest()


def test_a_student_of_either_is_the_same_student(tmp_path, teacher, windows):
    students = []
    for source in (take(teacher, tmp_path, windows), LiveTeacher(teacher)):
        torch.manual_seed(1)
        student = Transformer(TransformerSettings(width=8, max_length=4), N_ITEMS)
        train(
            student,
            windows,
            validate=lambda model: 0.0,
            settings=TrainSettings(epochs=4, batch_size=8, precision="float32"),
            knowledge=source,
            distil=DistilSettings(temperature=2),
            quiet=True,
        )
        students.append(student.state())
    for name, array in students[0].items():
        np.testing.assert_allclose(array, students[1][name], atol=1e-4)


def test_the_manifest_names_the_teacher_and_the_windows(tmp_path, teacher, windows):
    manifest = take(teacher, tmp_path, windows, about={"recipe": "demo"}).manifest
    assert manifest["teacher"] == {"kind": "transformer", "parameters": teacher.n_parameters, "recipe": "demo"}
    assert manifest["teacher_digest"] == LiveTeacher(teacher).digest()
    assert (manifest["windows_digest"], manifest["max_length"]) == (windows.digest(), 4)


def test_a_killed_extraction_asks_only_for_what_is_missing(tmp_path, teacher, windows):
    asked = []

    def make_batch(rows):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(rows)
        return windows.batch(rows)

    options = {"positions": windows.positions, "windows_digest": windows.digest(), "windows_per_shard": 5}
    with pytest.raises(KeyboardInterrupt):
        extract(teacher, tmp_path, make_batch=make_batch, quiet=True, **options)
    rest = []
    found = extract(
        teacher, tmp_path, make_batch=lambda rows: rest.append(rows) or windows.batch(rows), quiet=True, **options
    )
    assert sorted(np.concatenate([*asked, *rest])) == list(range(len(windows)))
    batch = windows.batch(np.arange(len(windows)))
    np.testing.assert_allclose(
        found.history_vectors(batch), LiveTeacher(teacher).history_vectors(batch), rtol=1e-4, atol=1e-5
    )


def test_a_better_trained_teacher_is_another_teacher(tmp_path, teacher, windows):
    first = take(teacher, tmp_path, windows).digest()
    with torch.no_grad():
        teacher.norm.bias.add_(1)
    assert take(teacher, tmp_path, windows).digest() != first


def test_a_teacher_that_reads_less_than_a_window_is_refused(tmp_path, teacher):
    longer = Windows.cut(Ragged.of([np.arange(8)]), max_length=7)
    with pytest.raises(SettingsError, match="histories have 7 positions; expected at most 4"):
        take(teacher, tmp_path, longer)
