"""How much better a teacher is than its student alone, for answers as popular as each position's."""

from types import SimpleNamespace

import numpy as np
import pytest

from distilrec.data.batches import Windows
from distilrec.run.advantage import advantage
from distilrec.run.recipe import EvaluateStage
from distilrec.types import Cases, Ragged

TRAIN = Ragged.of([[0, 0, 0, 1], [0, 2, 0, 3], [0, 1, 2, 3]])  # six events of item 0, two of each other one
FIRST_ONE = EvaluateStage(cutoffs=(1,), metric="recall@1")


class Likes:
    """Ranks one item first, whatever the history."""

    n_items = 4

    def __init__(self, item):
        self.item = item

    def scores(self, batch):
        scores = np.zeros((len(batch), 4), np.float32)
        scores[:, self.item] = 1
        return scores


def world(*answers):
    """A case for each answer; there is no test to look at."""
    cases = Cases(np.arange(len(answers)), Ragged.of([[1]] * len(answers)), Ragged.of([[a] for a in answers]))
    return SimpleNamespace(
        split=SimpleNamespace(train=TRAIN, validation=cases), interactions=SimpleNamespace(n_items=4)
    )


def measured(teacher, alone, prepared, max_length=3):
    return advantage(teacher, alone, prepared, FIRST_ONE, max_length=max_length)


def test_a_position_gets_what_was_measured_for_answers_as_popular_as_its_own():
    """The teacher knows rare item 3, the student popular item 0. A kind of cases counts as one beside 200 of all, of
    which each of them knows half; items 1 and 2 are a kind of which nothing was measured."""
    popular, rare, unknown = 100 / 201, 101 / 201, 1 / 2
    found = measured(Likes(3), Likes(0), world(0, 3))
    wanted = [popular, popular, unknown, unknown, popular, rare, unknown, unknown, rare]
    assert found.tolist() == pytest.approx(wanted)


def test_it_has_a_number_for_each_position_of_the_windows_in_their_order():
    windows = Windows.cut(TRAIN, max_length=2)
    found = measured(Likes(3), Likes(0), world(0, 3), max_length=2)
    targets = np.concatenate([piece[1:] for piece in windows.pieces])
    assert found.shape == (int(windows.positions.sum()),)
    assert ((found < 0.5) == (targets == 0)).all()
    assert ((found > 0.5) == (targets == 3)).all()


def test_a_teacher_that_is_its_student_is_half_believed_everywhere():
    assert set(measured(Likes(3), Likes(3), world(0, 3)).tolist()) == {0.5}


def test_one_that_is_always_better_is_believed_everywhere():
    assert set(measured(Likes(3), Likes(0), world(3, 3)).tolist()) == {1.0}


def test_of_several_answers_the_first_one_says_how_popular_they_are():
    """Both find half of the first case's answers, and the teacher alone the second's: 3/4 and 1/4 in all."""
    prepared = world(0, 3)
    prepared.split.validation = Cases(np.arange(2), Ragged.of([[1]] * 2), Ragged.of([[0, 3], [3]]))
    found = measured(Likes(3), Likes(0), prepared)
    popular, rare, unknown = 150.5 / 201, 151 / 201, 3 / 4
    assert found[[0, 5, 2]].tolist() == pytest.approx([popular, rare, unknown])
