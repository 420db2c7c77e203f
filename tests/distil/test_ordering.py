"""Which windows an epoch goes through: all of them, or the easy ones first."""

import numpy as np
import pytest
import torch

from distilrec.data.batches import Windows
from distilrec.distil.curriculum import CurriculumSettings
from distilrec.distil.ordering import WindowOrder, difficulty_of
from distilrec.errors import SettingsError
from distilrec.knowledge import DenseLabels
from distilrec.mixture.parts import Onto
from distilrec.types import Ragged

N_ITEMS = 4
WINDOWS = Windows.cut(Ragged.of([[0, 1, 2, 3], [0, 1], [0, 3], [1, 2, 3]]), max_length=3)
BY_LOSS, BY_LENGTH = CurriculumSettings(start_share=0.5, full_at=0.5), CurriculumSettings(by="length")
CPU = Onto(torch.device("cpu"))


class Says:
    """A teacher that is sure that the item after the one read comes next, at every position or at some."""

    def __init__(self, every=True):
        self.every = every

    def soft_labels(self, batch):
        logits = 3 * np.eye(N_ITEMS, dtype=np.float32)[(batch.items[batch.mask] + 1) % N_ITEMS]
        if self.every:
            return [DenseLabels(logits)]
        known = np.flatnonzero(batch.items[batch.mask] == 0)
        return [DenseLabels(logits[known], rows=known)]


class Silent:
    def soft_labels(self, batch):
        return []


KNOWN = np.log(np.exp(3) + 3) - 3
MISSED = np.log(np.exp(3) + 3)


def difficulty(knowledge, curriculum=BY_LOSS, n_items=N_ITEMS):
    return difficulty_of(WINDOWS, curriculum, knowledge, n_items=n_items, onto=CPU).tolist()


def test_a_window_is_as_hard_as_the_teacher_finds_what_came_next():
    """Every step is to the next item but that from 0 to 3."""
    assert difficulty(Says()) == pytest.approx([KNOWN, KNOWN, MISSED, KNOWN], rel=1e-5)


def test_where_the_teacher_is_silent_an_even_guess_is_counted():
    """It speaks of the first position of the first three windows, and never of the last."""
    even = np.log(N_ITEMS)
    assert difficulty(Says(every=False)) == pytest.approx([(KNOWN + 2 * even) / 3, KNOWN, MISSED, even], rel=1e-5)


def test_windows_that_are_looked_at_one_by_one_are_as_hard_as_together(monkeypatch):
    together = difficulty(Says())
    monkeypatch.setattr("distilrec.distil.ordering._AT_ONCE", 1)
    assert difficulty(Says()) == pytest.approx(together)


def test_a_long_window_is_hard():
    assert difficulty(None, BY_LENGTH) == [3, 1, 1, 2]


@pytest.mark.parametrize(
    ("knowledge", "n_items", "message"),
    [
        (None, N_ITEMS, "a curriculum by the teacher's loss needs knowledge; give some, or take `by: length`"),
        (Says(), None, "a curriculum by the teacher's loss needs knowledge; give some, or take `by: length`"),
        (Silent(), N_ITEMS, "a curriculum by the teacher's loss needs its soft labels; take `by: length`"),
    ],
)
def test_without_a_teacher_who_speaks_there_is_no_loss_of_its(knowledge, n_items, message):
    with pytest.raises(SettingsError, match=message):
        difficulty(knowledge, n_items=n_items)


def order(curriculum, batch_size=2):
    hard = np.array([0.1, 0.4, 0.3, 0.2], np.float32)
    return WindowOrder(WINDOWS, batch_size=batch_size, seed=0, curriculum=curriculum, difficulty=hard)


def rows(batches):
    return sorted(int(row) for batch in batches for row in batch)


def test_without_a_curriculum_every_epoch_has_every_window_once():
    batches = order(None).batches(0, 0.0)
    assert rows(batches) == [0, 1, 2, 3]
    assert len(batches) == order(None).most_batches == 2


def test_a_curriculum_begins_with_the_easy_half_and_ends_with_all():
    easy = order(BY_LOSS)
    assert rows(easy.batches(0, 0.0)) == [0, 3]
    assert len(easy.batches(0, 0.0)) == 1
    assert easy.most_batches == 2
    assert rows(easy.batches(5, 0.5)) == [0, 1, 2, 3]


def test_an_epoch_has_the_same_batches_however_often_it_is_asked_and_another_one_has_others():
    def of(epoch):
        return [batch.tolist() for batch in order(None, batch_size=1).batches(epoch, 0.0)]

    assert of(3) == of(3)
    assert len({str(of(epoch)) for epoch in range(8)}) > 1
