"""A user is the sum of the history's factors, however many there are of them."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.config import parse
from distilrec.errors import SettingsError
from distilrec.models.factorisation import MatrixFactorisation, MatrixFactorisationSettings
from distilrec.types import Batch

N_ITEMS, SHAPE = 6, MatrixFactorisationSettings(width=4, alpha=0.5, max_length=9)


def make(**changes):
    torch.manual_seed(0)
    model = MatrixFactorisation(SHAPE.with_changes(**changes), N_ITEMS)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model.eval()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tables", ["separate", "tied"])
def test_scores_are_those_of_fism_written_out(alpha, tables):
    model, history = make(alpha=alpha, tables=tables), [2, 5, 5, 1]
    ranked = model.table.weight.detach().numpy()
    of_history = ranked if tables == "tied" else model.inputs.weight.detach().numpy()
    user = len(history) ** -alpha * sum(of_history[item, :3] for item in history)
    wanted = [user @ ranked[item, :3] + ranked[item, 3] for item in range(N_ITEMS)]
    np.testing.assert_allclose(model.scores(Batch.of([history]))[0], wanted, rtol=1e-4)


@pytest.mark.parametrize(("alpha", "wanted"), [(0, [1, 2, 3, 4]), (1, [1, 1, 1, 1]), (0.5, [1, 2**0.5, 3**0.5, 2])])
def test_n_times_the_same_item_count_n_to_the_one_minus_alpha(alpha, wanted):
    model = make(alpha=alpha)
    with torch.no_grad():
        model.inputs.weight.fill_(1.0)
    histories, _ = model(Batch.of([[3, 3, 3, 3]]))
    assert histories[:, 0].tolist() == pytest.approx(wanted)


def test_history_vectors_end_in_one_so_items_end_in_their_bias():
    assert make()(Batch.of([[1, 2], [3]]))[0][:, -1].tolist() == [1, 1, 1]
    assert make(tables="tied")(Batch.of([[1, 2], [3]]))[0][:, -1].tolist() == [1, 1, 1]


@pytest.mark.parametrize("tables", ["separate", "tied"])
def test_a_teachers_table_may_replace_all_but_the_biases(tables):
    model = make(tables=tables)
    biases = model.table.weight[:, -1].tolist()
    model.free_item_vectors().fill_(3.0)
    assert model.item_vectors()[:, :-1].unique().tolist() == [3]
    assert model.item_vectors()[:, -1].tolist() == biases


def test_the_order_of_a_history_does_not_count():
    first, second = make().scores(Batch.of([[1, 2, 3], [3, 1, 2]]))
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_tied_tables_are_one_table():
    """Ranked by 6 x 4 with the bias; of the history 6 x 3."""
    assert make().n_parameters == 24 + 18
    assert make(tables="tied").n_parameters == 24
    assert set(make(tables="tied").state()) == {"table.weight"}
    assert make(width=5).n_parameters == 30 + 24


def test_units_of_the_history_are_dropped_while_training_but_never_the_bias():
    model = make(embedding_dropout=0.5).train()
    torch.manual_seed(0)
    histories = model(Batch.of([[1]] * 20))[0]
    assert 0.3 < float((histories[:, :-1] == 0).float().mean()) < 0.7
    assert (histories[:, -1] == 1).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": 1.5}, "alpha: Input should be less than or equal to 1"),
        ({"alpha": -1}, "alpha: Input should be greater than or equal to 0"),
        ({"tables": "one"}, "tables: Input should be 'separate' or 'tied'"),
        ({"width": 1}, "width: Input should be greater than or equal to 2"),
        ({"table": "tied"}, "unknown setting 'table'; did you mean 'tables'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        parse(MatrixFactorisationSettings, values)
