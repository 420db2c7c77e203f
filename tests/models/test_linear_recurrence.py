"""The linear recurrence is its formula, over a whole history or an item at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.errors import DataError, SettingsError
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


def test_a_later_item_changes_nothing_before_it(model):
    before, after = vectors(model, [1, 2, 3, 4])[0], vectors(model, [1, 2, 9, 4])[0]
    np.testing.assert_array_equal(before[:2], after[:2])
    assert np.abs(before[2:] - after[2:]).max() > 1e-2


def test_an_earlier_item_and_its_place_count(model):
    first, other, swapped = vectors(model, [1, 2, 3], [7, 2, 3], [2, 1, 3])[:, -1]
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first - swapped).max() > 1e-3


def test_a_history_scores_alone_as_it_does_among_longer_ones(model):
    histories = [[1], [2, 3, 4, 5, 6], [7, 8]]
    together = model.scores(Batch.of(histories))
    alone = np.concatenate([model.scores(Batch.of([history])) for history in histories])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_an_item_at_a_time_gives_the_vectors_of_the_whole_history(model):
    wanted, items = vectors(model, [1, 2, 3, 4], [5, 6, 7, 8]), model.item_vectors()
    state = model.start(2)
    assert state.shape == (2, 2, 6)
    with torch.no_grad():
        for at in range(4):
            state, got = model.update(state, torch.tensor([1, 5]) + at, items)
            np.testing.assert_allclose(got, wanted[:, at], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([1, 2], r"next items have shape \(2,\); expected \(3,\), one for each state"),
        ([-1, 2, 3], "item -1 is outside the catalogue of 12 items"),
    ],
)
def test_next_items_that_fit_no_state_or_no_catalogue_are_refused(model, items, message):
    with pytest.raises(DataError, match=message):
        model.update(model.start(3), torch.tensor(items), model.item_vectors())


@pytest.mark.parametrize(("max_length", "spans"), [(1, [2, 2, 2]), (32, [2, 8, 32])])
def test_channels_begin_as_averages_over_two_items_to_the_whole_history(max_length, spans):
    settings = LinearRecurrenceSettings(width=3, state_ratio=1, max_length=max_length)
    shares = torch.sigmoid(LinearRecurrence(settings, N_ITEMS).blocks[0].gate.bias)
    np.testing.assert_allclose(1 / shares.detach(), spans, rtol=1e-5)


def test_it_trains_in_bfloat16(model):
    batch = Batch.of([[1, 2, 3], [4]])
    whole = model(batch)[0]
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch)[0]
    half.float().square().sum().backward()
    np.testing.assert_allclose(half.float().detach(), whole.detach(), atol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


SIZES = {"width": 6, "blocks": 1, "state_ratio": 1, "feedforward_ratio": 2}
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


def test_only_the_newest_items_are_read(model):
    whole, newest = [9, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(model.scores(Batch.of([whole])), model.scores(Batch.of([newest])))
    with pytest.raises(SettingsError, match="histories have 6 positions; expected at most 5"):
        model(Batch.of([whole]))


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
