"""The recurrent student is its cells' formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.errors import SettingsError
from distilrec.models.gru import GRU, GRUSettings
from distilrec.types import Batch

N_ITEMS, SHAPE = 12, GRUSettings(width=4, layers=2, hidden=3, max_length=5)
CELLS = ["gru", "lstm"]


def make(settings=SHAPE, **options):
    """A model whose weights are far from zero, so that every part of it shows in the scores."""
    torch.manual_seed(0)
    model = GRU(settings, N_ITEMS, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    nn.init.constant_(model.scale, 2.0)
    return model.eval()


@pytest.fixture(params=CELLS)
def model(request):
    return make(SHAPE.with_changes(cell=request.param))


def vectors(model, *histories):
    with torch.no_grad():
        return model.history_vectors(Batch.of(histories), model.item_vectors()).numpy()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(x, h, w):
    """Cho et al. 2014 as torch has it: the reset gate r comes after the product with the state."""
    of_x, of_h = w["weight_ih_l0"] @ x + w["bias_ih_l0"], w["weight_hh_l0"] @ h + w["bias_hh_l0"]
    (rx, zx, nx), (rh, zh, nh) = np.split(of_x, 3), np.split(of_h, 3)
    r, z = sigmoid(rx + rh), sigmoid(zx + zh)
    return (1 - z) * np.tanh(nx + r * nh) + z * h


def lstm_step(x, h, c, w):
    """Hochreiter and Schmidhuber 1997, with forget gates."""
    i, f, g, o = np.split(w["weight_ih_l0"] @ x + w["bias_ih_l0"] + w["weight_hh_l0"] @ h + w["bias_hh_l0"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def normalise(x, norm):
    spread = np.sqrt(x.var() + norm.eps)
    return (x - x.mean()) / spread * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def literally(model, history):
    """The vector after a history, a number at a time."""
    h, c = np.zeros((2, 3)), np.zeros((2, 3))
    for item in history:
        newest = model.table.weight[item].detach().numpy()
        x = normalise(newest, model.input_norm)
        for at, layer in enumerate(model.layers):
            w = {name: value.numpy() for name, value in layer.cell.state_dict().items()}
            if model.settings.cell == "gru":
                h[at] = gru_step(x, h[at], w)
            else:
                h[at], c[at] = lstm_step(x, h[at], c[at], w)
            x = h[at]
    added = model.out.weight.detach().numpy() @ x + model.out.bias.detach().numpy()
    return normalise(newest + model.scale.item() * added, model.norm)


def test_it_is_the_formula_at_every_position(model):
    wanted = [literally(model, [5, 1, 7][:length]) for length in (1, 2, 3)]
    np.testing.assert_allclose(vectors(model, [5, 1, 7])[0], wanted, rtol=1e-4, atol=1e-5)
    in_training = model(Batch.of([[5, 1, 7]]))[0]  # other code of torch's, which keeps what gradients need
    np.testing.assert_allclose(in_training.detach(), wanted, rtol=1e-4, atol=1e-5)


def test_it_begins_as_the_newest_item_itself():
    model = GRU(SHAPE, N_ITEMS).eval()
    newest = normalise(model.table.weight[7].detach().numpy(), model.norm)
    np.testing.assert_allclose(vectors(model, [5, 1, 7])[0, -1], newest, rtol=1e-4, atol=1e-5)


def test_a_state_says_how_wide_it_is():
    assert make().start(7).shape == (7, 2, 3)
    assert make(SHAPE.with_changes(cell="lstm")).start(7).shape == (7, 2, 6)


SIZES = {"width": 6, "layers": 1, "hidden": 5, "cell": "lstm"}
DROPOUTS = ["dropout", "embedding_dropout"]


@pytest.mark.parametrize(("field", "value"), SIZES.items())
def test_each_size_changes_how_much_is_learnt(field, value):
    assert make(SHAPE.with_changes(**{field: value})).n_parameters != make().n_parameters


@pytest.mark.parametrize("field", DROPOUTS)
def test_each_dropout_alone_changes_training(field):
    still, batch = {"dropout": 0.0, "embedding_dropout": 0.0}, Batch.of([[1, 2, 3]])
    model = make(SHAPE.with_changes(**still)).train()
    assert torch.equal(model(batch)[0], model(batch)[0])
    model = make(SHAPE.with_changes(**{**still, field: 0.5})).train()
    assert not torch.equal(model(batch)[0], model(batch)[0])


def test_no_setting_is_left_out():
    assert {*SIZES, *DROPOUTS, "max_length"} == GRUSettings.model_fields.keys()


def test_the_parameters_can_be_counted_by_hand():
    """Items 12x4, three gates of 4x4+4 from the item and as many from the state, two norms of 8, a scale."""
    model = GRU(GRUSettings(width=4), N_ITEMS)
    assert model.n_parameters == 48 + 2 * 3 * (16 + 4) + 2 * 8 + 1


@pytest.mark.parametrize("change", [{"cell": "rnn"}, {"layers": 0}, {"hidden": 0}, {"dropout": 1}])
def test_settings_that_make_no_model_are_refused(change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        SHAPE.with_changes(**change)
