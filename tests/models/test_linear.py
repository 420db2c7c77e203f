"""Softmax regression: a logit is a sum of fading weights of the history's items, and a bias."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.config import parse
from distilrec.errors import SettingsError
from distilrec.models.linear import Linear, LinearSettings
from distilrec.types import Batch

N_ITEMS, SHAPE = 6, LinearSettings(width=6, decays=2, max_length=9)


def make(settings=SHAPE):
    torch.manual_seed(0)
    model = Linear(settings, N_ITEMS)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.eval()


def test_logits_are_the_sum_in_the_docstring_written_out():
    """Five factors in two parts: three that fade by the first decay, two by the second."""
    model, history = make(), [2, 5, 5, 1]
    went_in, came_out = model.inputs.weight.detach().numpy(), model.table.weight.detach().numpy()
    first, second = torch.sigmoid(model.decay_logits).tolist()
    for target in range(N_ITEMS):
        logit = came_out[target, 5]  # the bias
        for age, item in enumerate(reversed(history)):
            logit += first**age * (went_in[item, :3] @ came_out[target, :3])
            logit += second**age * (went_in[item, 3:] @ came_out[target, 3:5])
        assert model.scores(Batch.of([history]))[0, target] == pytest.approx(logit, rel=1e-4)


def test_an_item_counts_half_after_one_newer_item_in_the_first_part_and_after_two_in_the_second():
    model = Linear(SHAPE.with_changes(decays=3), N_ITEMS)
    weights = model._weights(5)
    for part, half_life in enumerate((1, 2, 4)):
        row = weights[part, 4].tolist()  # oldest first
        assert row[4] == 1
        assert row[4 - half_life] == pytest.approx(1 / 2)
        assert weights[part, 1].tolist()[2:] == [0, 0, 0]  # what is still to come


def test_history_vectors_end_in_one_so_items_end_in_their_bias():
    model = make()
    assert model(Batch.of([[1, 2], [3]]))[0][:, -1].tolist() == [1, 1, 1]
    with torch.no_grad():
        before = model.scores(Batch.of([[1, 2]]))
        model.table.weight[4, -1] += 3
    assert (model.scores(Batch.of([[1, 2]])) - before)[0].tolist() == pytest.approx([0, 0, 0, 0, 3, 0], abs=1e-5)


def test_the_order_of_a_history_counts():
    scores = make().scores(Batch.of([[1, 2, 3], [2, 1, 3]]))
    assert np.abs(scores[0] - scores[1]).max() > 0.01


def test_decays_are_learnt_and_stay_finite_over_long_histories():
    model = Linear(LinearSettings(width=6, decays=5, max_length=400), N_ITEMS)
    histories, items = model(Batch.of([[1, 2] * 200]))
    ((histories @ items.T) ** 2).sum().backward()
    assert torch.isfinite(model.decay_logits.grad).all()
    assert (model.decay_logits.grad != 0).all()


def test_the_parameters_can_be_counted_by_hand():
    """Out 6 x 6 with the bias, in 6 x 5, two decays."""
    assert Linear(SHAPE, N_ITEMS).n_parameters == 36 + 30 + 2
    assert Linear(SHAPE.with_changes(decays=1, width=4), N_ITEMS).n_parameters == 24 + 18 + 1


def test_units_of_the_history_are_dropped_while_training_but_never_the_bias():
    model = make(SHAPE.with_changes(embedding_dropout=0.5)).train()
    torch.manual_seed(0)
    histories = model(Batch.of([[1]] * 20))[0]
    assert 0.3 < float((histories[:, :-1] == 0).float().mean()) < 0.7
    assert (histories[:, -1] == 1).all()
    assert not (model.eval()(Batch.of([[1]]))[0] == 0).any()


def test_more_decays_than_factors_are_refused():
    with pytest.raises(SettingsError, match=r"decays is 4, more than the rank 3 \(width 4, one of it for the bias\)"):
        Linear(LinearSettings(width=4, decays=4), N_ITEMS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 1}, "width: Input should be greater than or equal to 2"),
        ({"decays": 0}, "decays: Input should be greater than or equal to 1"),
        ({"decay": 2}, "unknown setting 'decay'; did you mean 'decays'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        parse(LinearSettings, values)
