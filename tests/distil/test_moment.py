"""The teacher's side of a step: what it said of some positions, numbered as the student's are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from distilrec.distil.moment import Moment, TeacherSide
from distilrec.errors import SettingsError
from distilrec.knowledge import DenseLabels, ListLabels
from distilrec.mixture.parts import Onto, SoftLabels, SoftLists, SoftLogits, taken
from distilrec.models.taps import Tap
from distilrec.types import Batch

BATCH = Batch.of([[0, 1, 2], [3, 4]])  # five positions, whose items are their numbers
N_ITEMS = 6
TWO_OF_FIVE = torch.tensor([1, 4])
TAIL = torch.arange(1, N_ITEMS + 1)


def rows(count):
    """Row r is full of r."""
    return torch.arange(count).float()[:, None].expand(-1, 2)


FORMS = {
    "factors": lambda at: SoftLabels(rows(5 if at is None else len(at)), rows(3), at, 0.25, 2.0),
    "lists": lambda at: SoftLists(
        rows(5 if at is None else len(at)).long(), rows(5 if at is None else len(at)), rows(5)[:, 0], at, 0.25, TAIL
    ),
    "logits": lambda at: SoftLogits(rows(5 if at is None else len(at)), at, 0.25, 2.0),
}


def first_numbers(part):
    """Which of the part's rows are there."""
    return (part.history_vectors if isinstance(part, SoftLabels) else part.logits)[:, 0].tolist()


@pytest.mark.parametrize("form", FORMS)
def test_of_a_part_about_everything_the_chosen_positions_are_left(form):
    part = taken(FORMS[form](None), TWO_OF_FIVE)
    assert first_numbers(part) == [1, 4]
    assert part.rows is None
    assert part.weight == 0.25


@pytest.mark.parametrize("form", FORMS)
def test_of_a_part_about_some_positions_those_that_are_chosen_are_numbered_anew(form):
    """It speaks of 0, 1, 3 and 4; chosen are 1, 2 and 4, which are now 0, 1 and 2."""
    part = taken(FORMS[form](torch.tensor([0, 1, 3, 4])), torch.tensor([1, 2, 4]))
    assert first_numbers(part) == [1, 3]  # its own second and fourth row
    assert part.rows.tolist() == [0, 2]


@pytest.mark.parametrize("form", FORMS)
def test_a_part_about_other_positions_alone_says_nothing(form):
    assert taken(FORMS[form](torch.tensor([0, 3])), TWO_OF_FIVE) is None
    assert taken(FORMS[form](torch.zeros(0, dtype=torch.int64)), TWO_OF_FIVE) is None


def test_a_temperature_stays_with_its_part():
    assert taken(FORMS["factors"](None), TWO_OF_FIVE).temperature == 2.0
    assert taken(FORMS["logits"](None), TWO_OF_FIVE).temperature == 2.0


def test_a_tail_stays_with_its_part():
    assert taken(FORMS["lists"](None), TWO_OF_FIVE).tail is TAIL


class Says:
    """A teacher of these parts, with lists or without; it counts how often it is asked."""

    def __init__(self, *parts, lists=None, table=None):
        self.parts, self.kept, self.table, self.asked = list(parts), lists, table, 0

    def soft_labels(self, batch):
        self.asked += 1
        return self.parts

    def lists(self, batch):
        return self.kept

    def item_vectors(self):
        return self.table

    def column(self, name, batch):
        return np.arange(batch.lengths.sum(), dtype=np.float16)[:, None]


def side(source, positions=None):
    return TeacherSide(
        source,
        BATCH,
        n_items=N_ITEMS,
        onto=Onto(torch.device("cpu")),
        precision=torch.float32,
        positions=None if positions is None else np.array(positions),
    )


def naming_itself():
    """At position p the logits of items p and p + 1 are 2 and 1, the rest 0."""
    logits = 2 * np.eye(5, N_ITEMS, dtype=np.float32) + np.eye(5, N_ITEMS, k=1, dtype=np.float32)
    return DenseLabels(logits)


def kept_lists(k=3, start=0):
    """Lists that no logits would give: items 5, 4, 3 at every position."""
    items = np.tile(np.arange(5, 5 - k, -1), (5 - start, 1))
    return ListLabels(items, np.zeros(items.shape, np.float32) + np.arange(start, 5)[:, None], np.zeros(5 - start))


def test_it_is_asked_once_a_step():
    source = Says(naming_itself())
    teacher = side(source)
    assert teacher.soft_labels() is teacher.soft_labels()
    assert source.asked == 1


def test_its_answers_are_of_the_positions_that_are_learnt_from():
    teacher = side(Says(naming_itself()), [1, 4])
    assert teacher.soft_labels()[0].logits.argmax(dim=1).tolist() == [1, 4]
    assert teacher.lists(2).items.tolist() == [[1, 2], [4, 5]]
    assert teacher.column("x").tolist() == [[1.0], [4.0]]
    assert teacher.positions.tolist() == [1, 4]


def test_a_part_that_says_nothing_of_them_is_left_out():
    partial = DenseLabels(np.zeros((1, N_ITEMS), np.float32), rows=np.array([2]))
    assert len(side(Says(naming_itself(), partial), [1, 4]).soft_labels()) == 1
    assert len(side(Says(naming_itself(), partial), [1, 2]).soft_labels()) == 2


def test_log_probabilities_of_any_items_are_given_0_where_there_is_none():
    asked = torch.tensor([[1, -1]] * 5)
    found = side(Says(naming_itself())).log_shares(asked)
    total = np.log(np.exp(2) + np.exp(1) + 4)
    assert found[1, 0] == pytest.approx(2 - total)
    assert found[0, 0] == pytest.approx(1 - total)
    assert found[:, 1].tolist() == [0.0] * 5


def test_lists_that_were_kept_are_taken_as_far_as_they_reach():
    """They need not agree with the soft labels; where they are too short, those are cut."""
    teacher = side(Says(naming_itself(), lists=kept_lists()))
    assert teacher.lists(2).items.tolist() == [[5, 4]] * 5
    assert teacher.lists(3).items.shape == (5, 3)
    assert teacher.lists(4).items[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_kept_lists_are_of_the_positions_that_are_learnt_from():
    found = side(Says(lists=kept_lists()), [1, 4]).lists(2)
    assert found.logits.tolist() == [[1.0, 1.0], [4.0, 4.0]]


def test_a_tail_comes_with_its_lists_and_is_put_onto_the_device_once():
    tail = np.full(N_ITEMS, 1 / N_ITEMS, np.float32)
    told = replace(kept_lists(), tail=tail)
    teacher = side(Says(told, lists=told), [1, 4])
    assert teacher.soft_labels()[0].tail is teacher.lists(2).tail is teacher.lists(3).tail
    assert teacher.lists(2).tail.tolist() == tail.tolist()


def test_without_soft_labels_or_lists_the_reason_is_told():
    for source in (Says(), None):
        with pytest.raises(SettingsError, match="the teacher says nothing of the catalogue at these positions"):
            side(source).lists(2)
    with pytest.raises(SettingsError, match="the teacher says nothing of the catalogue at these positions"):
        side(Says()).log_shares(torch.zeros(5, 1, dtype=torch.int64))


def test_what_a_teacher_lacks_is_told():
    with pytest.raises(SettingsError, match="the teacher has no item vectors"):
        side(Says()).item_vectors()
    for ask in (TeacherSide.item_vectors, lambda one: one.column("x"), lambda one: one.pairs("x")):
        with pytest.raises(SettingsError, match="a term of the loss asks a teacher, but no knowledge was given"):
            ask(side(None))


def test_a_table_is_put_onto_the_device_once():
    onto, table = Onto(torch.device("cpu")), np.ones((2, 2), np.float32)
    assert onto.table(table) is onto.table(table)
    assert onto.table(table.copy()) is not onto.table(table)


def test_a_layer_gives_the_positions_that_are_learnt_from():
    """A hidden state for each of the 2 x 3 cells, one of which is padding; the second and fifth real ones are asked."""
    tap, cells = Tap("hidden", "x"), torch.arange(6).float().reshape(2, 3, 1)
    common = {"targets": None, "items": None, "teacher": None, "progress": 0.0, "generator": None}
    moment = Moment(batch=BATCH, histories=torch.zeros(5, 1), taps={tap: cells}, **common)
    assert moment.hidden(tap)[:, 0].tolist() == [0, 1, 2, 3, 4]
    some = Moment(batch=BATCH, histories=torch.zeros(2, 1), taps={tap: cells}, learnt_from=TWO_OF_FIVE, **common)
    assert some.hidden(tap)[:, 0].tolist() == [1, 4]
