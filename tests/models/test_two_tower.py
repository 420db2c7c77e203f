"""Two means of the history through one network, items through another that stays behind."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from distilrec.config import parse
from distilrec.errors import ArtifactError, SettingsError
from distilrec.models.tables import ContentTable, IdTable
from distilrec.models.two_tower import TwoTower, TwoTowerSettings
from distilrec.types import Batch

N_ITEMS, SHAPE = 12, TwoTowerSettings(width=4, half_life=1, max_length=9)


def make(settings=SHAPE, **options):
    torch.manual_seed(0)
    model = TwoTower(settings, N_ITEMS, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    return model.eval()


def test_the_history_is_pooled_to_a_mean_and_one_in_which_each_older_item_counts_half():
    x = torch.tensor([[[4.0], [1.0], [7.0]]])
    plain, recent = (mean.flatten() for mean in TwoTower(SHAPE, N_ITEMS)._pool(x))
    assert plain.tolist() == pytest.approx([4, 5 / 2, 12 / 3])
    assert recent.tolist() == pytest.approx([4, (2 * 1 + 4) / 3, (4 * 7 + 2 * 1 + 4) / 7])


def test_the_history_tower_begins_as_the_second_mean():
    model = TwoTower(SHAPE, N_ITEMS).eval()
    items = model.item_vectors().detach()
    histories, _ = model(Batch.of([[3, 1]]))
    torch.testing.assert_close(histories[-1], F.layer_norm((items[3] + 2 * items[1]) / 3, (4,)))


def test_a_longer_half_life_remembers_more():
    x = torch.tensor([[[1.0], [0.0]]])
    short, long = (TwoTower(SHAPE.with_changes(half_life=h), N_ITEMS)._pool(x)[1][0, 1] for h in (1, 10))
    assert float(short) == pytest.approx(1 / 3)
    assert short < long < 1 / 2


def test_half_lives_stay_finite_over_long_histories():
    model = make(SHAPE.with_changes(half_life=0.01, max_length=300))
    assert np.isfinite(model.scores(Batch.of([[1] * 300]))).all()


def test_towers_are_two_layers_each_written_out():
    model, (first, second, third) = make(), (3, 1, 7)
    table, tower = model.table.table.weight, model.table
    items = table + tower.out(F.relu(tower.into(tower.norm(table))))
    torch.testing.assert_close(model.item_vectors(), items)
    plain = (items[first] + items[second] + items[third]) / 3
    recent = (items[first] + 2 * items[second] + 4 * items[third]) / 7
    pooled = model.pooled_norm(torch.cat([plain, recent]))
    wanted = model.norm(recent + model.scale * model.history_out(F.relu(model.history_in(pooled))))
    histories, _ = model(Batch.of([[first, second, third]]))
    torch.testing.assert_close(histories[-1], wanted)


def test_the_item_tower_begins_as_none_so_a_table_that_starts_as_the_teachers_is_the_teachers():
    table = IdTable(N_ITEMS, 4)
    model = TwoTower(SHAPE, N_ITEMS, table=table)
    assert torch.equal(model.item_vectors(), table.weight)
    (model.item_vectors() * torch.randn(N_ITEMS, 4)).sum().backward()
    assert model.table.out.weight.grad.abs().max() > 0


@pytest.mark.parametrize("content", [False, True])
def test_folded_it_scores_the_same_and_has_no_item_tower(content):
    table = ContentTable(np.eye(N_ITEMS, dtype=np.float32), 4) if content else None
    model, batch = make(table=table), Batch.of([[1, 2, 3], [4]])
    folded = model.fold()
    np.testing.assert_allclose(folded.scores(batch), model.scores(batch), rtol=1e-5, atol=1e-5)
    assert isinstance(folded.table, IdTable)
    assert not any("into" in name or name == "out.bias" for name in folded.state())
    assert folded.fold().state().keys() == folded.state().keys() == model.state().keys()


def test_the_parameters_can_be_counted_by_hand():
    """Items 12 x 4, a hidden layer of 8: two layers with their biases and a norm or two in each tower, and a scale."""
    history, items = 16 + (8 * 8 + 8) + (8 * 4 + 4) + 1 + 8, 8 + (4 * 8 + 8) + (8 * 4 + 4)
    assert TwoTower(SHAPE, N_ITEMS).n_parameters == 48 + history + items
    assert TwoTower(SHAPE, N_ITEMS).fold().n_parameters == 48 + history
    assert TwoTower(SHAPE.with_changes(hidden_ratio=1), N_ITEMS).n_parameters < 48 + history + items


@pytest.mark.parametrize("field", ["dropout", "embedding_dropout"])
def test_each_dropout_alone_changes_histories_and_never_the_items(field):
    batch = Batch.of([[1, 2, 3]])
    for share, same in ((0.0, True), (0.5, False)):
        model = make(SHAPE.with_changes(**{"dropout": 0.0, "embedding_dropout": 0.0, field: share})).train()
        torch.manual_seed(0)
        (first, items), (second, again) = model(batch), model(batch)
        assert torch.equal(first, second) == same
        assert torch.equal(items, again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("table.weight"), "the weights lack table.weight, the item table"),
        (lambda state: state.pop("norm.bias"), r"norm.bias: expected \(4,\), got None"),
        (lambda state: state.update({"table.weight": np.zeros((12, 3))}), r"expected \(12, 4\), got \(12, 3\)"),
    ],
)
def test_state_that_is_not_its_own_is_refused(change, message):
    state = make().state()
    change(state)
    with pytest.raises(ArtifactError, match=message):
        TwoTower.from_state(SHAPE, state)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"half_life": 0}, "half_life: Input should be greater than 0"),
        ({"hidden_ratio": 0}, "hidden_ratio: Input should be greater than 0"),
        ({"hiden": 2}, "unknown setting 'hiden'; did you mean 'hidden'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        parse(TwoTowerSettings, values)
