import math

import numpy as np
import polars as pl
import pytest

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate import diversity
from distilrec.evaluate.diversity import (
    category_shares,
    diversity_by_categories,
    diversity_by_vectors,
    miscalibration,
)
from distilrec.types import Ragged

VECTORS = np.array([[1, 0], [0, 3], [2, 0], [-1, 0]], dtype=np.float32)
ITEMS = pl.DataFrame({"genres": ["Comedy", "Drama", "Comedy|Drama", ""]})
SHARES = category_shares(ITEMS, "genres", separator="|")


@pytest.fixture(params=[1, 1 << 22], ids=["a case at a time", "all at once"])
def at_once(request, monkeypatch):
    monkeypatch.setattr(diversity, "_AT_ONCE", request.param)


def test_orthogonal_items_are_one_apart_equal_ones_nothing_and_opposite_ones_two(at_once):
    lists = np.array([[0, 1], [0, 2], [0, 3], [0, -1]])
    assert diversity_by_vectors(lists, VECTORS).tolist() == pytest.approx([1, 0, 2, 0])


def test_diversity_is_the_mean_over_pairs():
    # 0 and 1 are 1 apart, 0 and 2 nothing, 1 and 2 one
    assert diversity_by_vectors(np.array([[0, 1, 2]]), VECTORS).tolist() == pytest.approx([2 / 3])


def test_diversity_of_categories_is_what_pairs_do_not_share(at_once):
    lists = np.array([[0, 1], [0, 2], [0, 0], [0, -1]])
    assert diversity_by_categories(lists, SHARES).tolist() == [1, 1 / 2, 0, 0]


def test_an_item_of_two_categories_has_a_half_of_each_and_one_of_none_nothing():
    assert SHARES.tolist() == [[1, 0], [0, 1], [1 / 2, 1 / 2], [0, 0]]
    assert category_shares(pl.DataFrame({"g": [["x"], ["y", "x"]]}), "g").tolist() == [[1, 0], [1 / 2, 1 / 2]]


def test_the_mixture_of_the_history_is_perfectly_calibrated():
    assert miscalibration(np.array([[0, 1]]), Ragged.of([[2]]), SHARES).tolist() == pytest.approx([0])


def test_showing_one_half_of_a_mixture_alone_costs_the_divergence_of_steck():
    """p is a half each; q, smoothed, is 0.995 and 0.005."""
    expected = 0.5 * math.log(0.5 / 0.995) + 0.5 * math.log(0.5 / 0.005)
    assert miscalibration(np.array([[0, 0]]), Ragged.of([[0, 1]]), SHARES).tolist() == pytest.approx([expected])


def test_without_a_category_on_either_side_there_is_nothing_to_say():
    assert miscalibration(np.array([[3], [0], [-1]]), Ragged.of([[0], [3], [0]]), SHARES).tolist() == [0, 0, 0]


def test_a_column_that_is_not_there_or_empty_is_refused():
    with pytest.raises(SettingsError, match="the table of items has no column 'kind'; it has genres"):
        category_shares(ITEMS, "kind")
    with pytest.raises(DataError, match="column 'genres' is empty; expected a category of at least one item"):
        category_shares(pl.DataFrame({"genres": [None, ""]}), "genres")
