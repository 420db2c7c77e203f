"""Which of a student's numbers a teacher's item table may be written over."""

import numpy as np
import pytest
import torch

from distilrec.errors import SettingsError
from distilrec.models.cnn import CNN, CNNSettings
from distilrec.models.linear import Linear, LinearSettings
from distilrec.models.tables import ContentTable, IdTable
from distilrec.models.two_tower import TwoTower, TwoTowerSettings

N_ITEMS, WIDTH = 5, 4


def content_table():
    return ContentTable(np.eye(N_ITEMS, dtype=np.float32), WIDTH)


def test_they_are_the_table_itself():
    model = CNN(CNNSettings(width=WIDTH), N_ITEMS)
    model.free_item_vectors().fill_(3.0)
    assert model.item_vectors().unique().tolist() == [3]


def test_of_two_towers_they_go_into_the_item_tower():
    table = IdTable(N_ITEMS, WIDTH)
    model = TwoTower(TwoTowerSettings(width=WIDTH), N_ITEMS, table=table)
    torch.nn.init.ones_(model.table.out.bias)
    model.free_item_vectors().fill_(3.0)
    assert table.weight.unique().tolist() == [3]
    assert model.item_vectors().unique().tolist() == [3 + 1]


def test_of_folded_towers_they_are_the_finished_table():
    model = TwoTower(TwoTowerSettings(width=WIDTH), N_ITEMS).fold()
    model.free_item_vectors().fill_(3.0)
    assert model.item_vectors().unique().tolist() == [3]


def test_of_a_softmax_regression_they_are_all_but_the_biases():
    model = Linear(LinearSettings(width=WIDTH, decays=1), N_ITEMS)
    biases = model.table.weight[:, -1].tolist()
    model.free_item_vectors().fill_(3.0)
    assert model.item_vectors()[:, :-1].unique().tolist() == [3]
    assert model.item_vectors()[:, -1].tolist() == biases


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (CNN, CNNSettings(width=WIDTH)),
        (TwoTower, TwoTowerSettings(width=WIDTH)),
        (Linear, LinearSettings(width=WIDTH, decays=1)),
    ],
)
def test_a_table_of_content_has_none_and_says_what_to_do(make, settings):
    model = make(settings, N_ITEMS, table=content_table())
    message = "a table of ContentTable has no free vectors that a teacher's could replace; set distil"
    with pytest.raises(SettingsError, match=message):
        model.free_item_vectors()
