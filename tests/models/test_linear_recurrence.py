"""The linear recurrence is its formula."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.errors import SettingsError
from distilrec.models.linear_recurrence import LinearRecurrence, LinearRecurrenceSettings, moving_average
from distilrec.types import Batch

N_ITEMS, SHAPE = 12, LinearRecurrenceSettings(width=4, blocks=2, state_ratio=1.5, max_length=5)


def make(settings=SHAPE):
    """A model whose weights are far from zero, so that every part of it shows in the scores."""
    torch.manual_seed(0)
    model = LinearRecurrence(settings, N_ITEMS)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture
def model():
    return make()


def vectors(model, *histories):
    with torch.no_grad():
        return model.history_vectors(Batch.of(histories), model.item_vectors()).numpy()


def test_a_moving_average_can_be_worked_out_by_hand():
    """0 -> 1/2 of 8 is 4 -> 3/4 of 4 and 1/4 of 0 is 3 -> a share of one forgets all."""
    values, shares = torch.tensor([8.0, 0, 5])[None, :, None], torch.tensor([0.5, 0.25, 1])[None, :, None]
    assert moving_average(values, shares).flatten().tolist() == [4, 3, 5]
    with torch.no_grad():
        assert moving_average(values, shares).flatten().tolist() == [4, 3, 5]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_gradients_of_the_moving_average_are_those_of_a_plain_loop(length):
    torch.manual_seed(0)
    values, shares = torch.randn(2, length, 3, requires_grad=True), torch.rand(2, length, 3, requires_grad=True)
    weights, state, total = torch.randn(2, length, 3), torch.zeros(2, 3), 0.0
    for at in range(length):
        state = (1 - shares[:, at]) * state + shares[:, at] * values[:, at]
        total = total + (weights[:, at] * state).sum()
    wanted = torch.autograd.grad(total, [values, shares])
    got = torch.autograd.grad((weights * moving_average(values, shares)).sum(), [values, shares])
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


def literally(model, history):
    """The vector after a history, a position and a block at a time, with torch's layers for what is in a position."""
    states = [torch.zeros(6), torch.zeros(6)]
    for item in history:
        x = model.table.weight[item]
        for at, block in enumerate(model.blocks):
            u = block.recurrence_norm(x)
            z = 1 / (1 + torch.exp(-block.gate(u)))
            states[at] = (1 - z) * states[at] + z * block.value(u)
            x = x + block.recurrence_scale * block.recurrence_out(states[at])
            hidden = nn.functional.gelu(block.feedforward_in(block.feedforward_norm(x)))
            x = x + block.feedforward_scale * block.feedforward_out(hidden)
    return model.norm(x).detach().numpy()


def test_it_is_the_formula_at_every_position(model):
    wanted = [literally(model, [5, 1, 7][:length]) for length in (1, 2, 3)]
    np.testing.assert_allclose(vectors(model, [5, 1, 7])[0], wanted, rtol=1e-4, atol=1e-5)


def test_it_begins_as_the_newest_item_itself():
    model = LinearRecurrence(SHAPE, N_ITEMS).eval()
    newest = nn.functional.layer_norm(model.item_vectors()[7], (4,)).detach().numpy()
    np.testing.assert_allclose(vectors(model, [5, 1, 7])[0, -1], newest, rtol=1e-5)


def test_a_state_says_how_wide_it_is():
    assert make().start(7).shape == (7, 2, 6)


@pytest.mark.parametrize(("max_length", "spans"), [(1, [2, 2, 2]), (32, [2, 8, 32])])
def test_channels_begin_as_averages_over_two_items_to_the_whole_history(max_length, spans):
    settings = LinearRecurrenceSettings(width=3, state_ratio=1, max_length=max_length)
    shares = torch.sigmoid(LinearRecurrence(settings, N_ITEMS).blocks[0].gate.bias)
    np.testing.assert_allclose(1 / shares.detach(), spans, rtol=1e-5)


SIZES = {"width": 6, "blocks": 1, "state_ratio": 1, "feedforward_ratio": 2} | {
    "state": 5,
    "feedforward_widths": (3, 4),
}
DROPOUTS = ["dropout", "embedding_dropout"]


@pytest.mark.parametrize(("field", "value"), SIZES.items())
def test_each_size_changes_how_much_is_learnt(model, field, value):
    assert make(SHAPE.with_changes(**{field: value})).n_parameters != model.n_parameters


@pytest.mark.parametrize("field", DROPOUTS)
def test_each_dropout_alone_changes_training(field):
    still, batch = {"dropout": 0.0, "embedding_dropout": 0.0}, Batch.of([[1, 2, 3]])
    model = make(SHAPE.with_changes(**still)).train()
    assert torch.equal(model(batch)[0], model(batch)[0])
    model = make(SHAPE.with_changes(**{**still, field: 0.5})).train()
    assert not torch.equal(model(batch)[0], model(batch)[0])


def test_no_setting_is_left_out():
    assert {*SIZES, *DROPOUTS, "max_length"} == LinearRecurrenceSettings.model_fields.keys()


def test_the_parameters_can_be_counted_by_hand():
    """Items 12x4, values and gates 4x8+8 each, back 8x4+4, feed-forward 4x4+4 twice, three norms of 8, two scales."""
    model = LinearRecurrence(LinearRecurrenceSettings(width=4), N_ITEMS)
    assert model.n_parameters == 48 + 2 * (32 + 8) + (32 + 4) + 2 * (16 + 4) + 3 * 8 + 2


@pytest.mark.parametrize("change", [{"blocks": 0}, {"state_ratio": 0}, {"feedforward_ratio": -1}, {"dropout": 1}])
def test_settings_that_make_no_model_are_refused(change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        SHAPE.with_changes(**change)
