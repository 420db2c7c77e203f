"""How far a teacher is believed: measures to powers, multiplied, and measured advantage looked up by position."""

import math

import numpy as np
import pytest
import torch

from distilrec.config import parse
from distilrec.data.batches import Windows
from distilrec.distil.moment import Moment, TeacherSide
from distilrec.distil.objective import Objective
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.distil.trusting import RowTrust, TrustSettings
from distilrec.errors import SettingsError
from distilrec.knowledge import DenseLabels
from distilrec.mixture.parts import Onto
from distilrec.types import Batch, Ragged

N_ITEMS = 4
WINDOWS = Windows.cut(Ragged.of([[0, 1, 2], [2, 3], [1, 2, 3, 0]]), max_length=3)  # 2, 1 and 3 positions
BATCH = WINDOWS.batch(np.array([2, 0]))
TARGETS = torch.tensor([2, 3, 0, 1, 2])
SURE, EVEN = [0.0, -50.0, -50.0, -50.0], [0.0] * 4
ADVANTAGE = np.arange(6, dtype=np.float32) / 10  # 0 and .1; .2; .3, .4 and .5


class Says:
    def __init__(self, logits, rows=None):
        self.part = DenseLabels(np.array(logits, np.float32), rows)

    def soft_labels(self, batch):
        return [self.part]

    def lists(self, batch):
        return None


def moment(source, *, batch=BATCH, positions=None, histories=None):
    """Students are even, unless they are given other histories: their items are unit vectors."""
    chosen = slice(None) if positions is None else positions
    cpu = Onto(torch.device("cpu"))
    return Moment(
        batch=batch,
        histories=torch.zeros(5, N_ITEMS)[chosen] if histories is None else histories,
        items=torch.eye(N_ITEMS),
        targets=TARGETS[chosen],
        teacher=TeacherSide(source, batch, n_items=N_ITEMS, onto=cpu, precision=torch.float32, positions=positions),
        progress=0.0,
        generator=torch.Generator(),
    )


def weights(source, **settings):
    return RowTrust(TrustSettings(**settings), WINDOWS, None).of_positions(moment(source)).tolist()


def test_a_sure_teacher_is_believed_and_an_even_one_is_not():
    assert weights(Says([SURE, EVEN, SURE, SURE, EVEN]), confidence=1) == pytest.approx([1, 0, 1, 1, 0], abs=1e-5)


def test_so_is_one_that_knew_what_came_next():
    """It always names item 0, which came next at the third position: first there, else 1 or 2 of 3 below it. Among
    alike items the middle place counts: rank 3, so 10 / 12."""
    found = weights(Says([SURE] * 5), target=1)
    assert found == pytest.approx([10 / 12, 10 / 12, 1, 10 / 12, 10 / 12])


def test_so_is_one_that_the_student_agrees_with():
    """A sure teacher and an even student have a quarter in common, two even ones everything."""
    assert weights(Says([SURE, EVEN] * 2 + [SURE]), agreement=1) == pytest.approx([1 / 4, 1, 1 / 4, 1, 1 / 4])


def test_measures_are_multiplied_each_to_its_power():
    found = weights(Says([SURE] * 5), agreement=2, target=1, confidence=3)
    assert found == pytest.approx([10 / 12 / 16, 10 / 12 / 16, 1 / 16, 10 / 12 / 16, 10 / 12 / 16], rel=1e-4)


def test_a_measured_advantage_is_found_by_window_and_position():
    """The batch has the third window, then the first."""
    trust = RowTrust(TrustSettings(advantage=1), WINDOWS, ADVANTAGE)
    assert trust.of_positions(moment(Says([EVEN] * 5))).tolist() == pytest.approx([0.3, 0.4, 0.5, 0.0, 0.1])


def test_of_an_augmented_batch_it_is_that_of_the_clean_positions():
    trust = RowTrust(TrustSettings(advantage=1), WINDOWS, ADVANTAGE)
    found = trust.of_positions(moment(Says([EVEN] * 5), positions=np.array([1, 2, 4])))
    assert found.tolist() == pytest.approx([0.4, 0.5, 0.1])


def test_where_a_teacher_is_silent_it_is_not_believed():
    spoken = np.array([0, 3])
    assert weights(Says([EVEN, EVEN], rows=spoken), agreement=1) == pytest.approx([1, 0, 0, 1, 0])


def test_trust_carries_no_gradient_to_the_student():
    histories = torch.zeros(5, N_ITEMS, requires_grad=True)
    trust = RowTrust(TrustSettings(agreement=1), WINDOWS, None)
    assert not trust.of_positions(moment(Says([SURE] * 5), histories=histories)).requires_grad


def test_settings_that_say_nothing_are_refused():
    with pytest.raises(SettingsError, match="trust has no measure above 0, so it would say nothing; leave it out, or"):
        parse(TrustSettings, {})
    with pytest.raises(SettingsError, match="confidence: Input should be greater than or equal to 0"):
        parse(TrustSettings, {"confidence": -1})


@pytest.mark.parametrize(
    ("advantage", "message"),
    [
        (None, "trust.advantage needs to know how much better the teacher is than the student alone on validation"),
        (ADVANTAGE[:5], r"advantage has shape \(5,\); expected \(6,\), a number a position"),
        (ADVANTAGE * 3, "advantage holds numbers outside 0 to 1, or NaN; expected how far to believe the teacher"),
        (ADVANTAGE * np.nan, "advantage holds numbers outside 0 to 1, or NaN"),
    ],
)
def test_an_advantage_that_is_none_is_refused(advantage, message):
    with pytest.raises(SettingsError, match=message):
        RowTrust(TrustSettings(advantage=1), WINDOWS, advantage)


def test_an_advantage_needs_the_numbers_of_the_windows():
    batch = Batch(BATCH.items, BATCH.lengths, BATCH.targets)
    trust = RowTrust(TrustSettings(advantage=1), WINDOWS, ADVANTAGE)
    with pytest.raises(SettingsError, match="is known of training windows, and this batch does not say which it has"):
        trust.of_positions(moment(Says([EVEN] * 5), batch=batch))


def test_trust_needs_soft_labels():
    class Silent:
        def soft_labels(self, batch):
            return []

    with pytest.raises(SettingsError, match="trust looks at the teacher's soft labels, and the knowledge has none"):
        weights(Silent(), confidence=1)


# ---- trust in single items


class Student(torch.nn.Module):
    """What an objective looks at before it is asked anything."""

    n_items = N_ITEMS

    def item_vectors(self):
        return torch.eye(N_ITEMS)


def listed(source, **settings):
    """The objective of a student that learns the order of the teacher's two best items."""
    term = {"kind": "ranking_distillation", "top": 2, "sampled": 0, "decay": 1e9}
    return Objective(
        Student(),
        WINDOWS,
        TrainSettings(),
        knowledge=source,
        distil=DistilSettings(trust=settings, losses=(term,)),
        onto=Onto(torch.device("cpu")),
        precision=torch.float32,
    )


def test_important_items_count_more_by_place_confidence_and_for_being_on_both_lists():
    """The teacher lists item 0 (share 3/4) and item 1 (1/4); the student, which is at 1/2 and 3/4 there, 2 and 1."""
    source = Says([[math.log(3), 0.0, -50.0, -50.0]] * 5)
    histories = torch.tensor([[0.0, math.log(3), 9.0, 0.0]]).expand(5, -1)
    losses = listed(source, importance=1).terms["ranking_distillation"](moment(source, histories=histories))
    first = 0.3 * math.e / (1 + math.e) + 0.5 * 3 / 4
    second = 0.3 * 1 / (1 + math.e) + 0.5 * 1 / 4 + 0.1
    expected = (first * math.log(2) + second * math.log(4 / 3)) / (first + second)
    assert losses.tolist() == pytest.approx([expected] * 5)


def test_importance_weighs_items_and_no_position():
    assert listed(Says([SURE] * 5), importance=1).trust is None
    assert listed(Says([SURE] * 5), importance=1, target=1).trust is not None


def test_without_a_loss_that_hears_it_importance_is_refused():
    message = r"trust.importance weighs items in the loss ranking_distillation, and losses has none; add \{kind"
    with pytest.raises(SettingsError, match=message):
        parse(DistilSettings, {"trust": {"importance": 1}, "losses": [{"kind": "logit_mse"}]})
