import numpy as np
import pytest

from distilrec.errors import DataError
from distilrec.evaluate.exposure import coverage, entropy, gini, times_shown


def test_items_are_counted_and_empty_places_are_not():
    assert times_shown(np.array([[0, 2], [2, -1]]), 4).tolist() == [1, 0, 2, 0]


def test_coverage_is_the_share_that_is_ever_shown():
    assert coverage(np.array([5, 0, 1, 0])) == 2 / 4


def test_equal_shares_have_no_gini_and_one_item_alone_nearly_one():
    assert gini(np.array([3, 3, 3, 3])) == 0
    assert gini(np.array([0, 0, 0, 9])) == 3 / 4  # (n - 1) / n


def test_gini_of_two_items_is_half_their_difference_in_share():
    assert gini(np.array([1, 3])) == pytest.approx((3 / 4 - 1 / 4) / 2)


def test_entropy_of_equal_shares_is_the_logarithm_of_their_number():
    assert entropy(np.array([7, 7, 7, 7, 0])) == 2
    assert entropy(np.array([0, 5])) == 0


def test_lists_that_show_nothing_or_what_is_not_there_are_refused():
    with pytest.raises(DataError, match="the lists are empty; expected at least one item"):
        times_shown(np.array([[-1, -1]]), 4)
    with pytest.raises(DataError, match="the lists show item 4, which is outside the catalogue of 4 items"):
        times_shown(np.array([[4]]), 4)
