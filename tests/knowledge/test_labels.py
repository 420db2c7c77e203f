"""Every form of soft labels gives the probabilities that it stands for, and mixtures are their means."""

import numpy as np
import pytest

from distilrec.knowledge import DenseLabels, FactorLabels, ListLabels
from distilrec.knowledge.labels import n_rows, probabilities

ONE_TO_THREE = np.log(np.array([[1.0], [3.0]], np.float32))  # two items whose odds are 1 to 3 for a history of 1


def factors(*histories, items=ONE_TO_THREE, **more):
    return FactorLabels(np.array(histories, np.float32)[:, None], items, **more)


def dense(*rows, **more):
    """Logits of these weights."""
    return DenseLabels(np.log(np.array(rows, np.float32)), **more)


def lists(items, weights, log_sums=0.0, **more):
    """One row for each list; a weight beyond a list's end does not matter."""
    logits = np.log(np.array(weights, np.float32))
    return ListLabels(np.array(items), logits, np.full(len(items), log_sums, np.float32), **more)


def shares(*parts, n_positions=1, n_items, temperature=1.0):
    return probabilities(list(parts), n_positions=n_positions, n_items=n_items, temperature=temperature)[0]


def covered(*parts, n_positions, n_items):
    return probabilities(list(parts), n_positions=n_positions, n_items=n_items)[1].tolist()


def test_factors_give_the_softmax_of_their_product():
    """A history of 0 finds all items alike."""
    found = shares(factors(1, 0), n_positions=2, n_items=2)
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4], [1 / 2, 1 / 2]], rtol=1e-6)


def test_dense_logits_give_their_softmax_however_large_they_are():
    logits = DenseLabels(np.array([[1000.0, 1000.0 + np.log(3)]], np.float32))
    np.testing.assert_allclose(shares(logits, n_items=2), [[1 / 4, 3 / 4]], rtol=1e-4)


@pytest.mark.parametrize(("own", "asked"), [(2, 1), (1, 2)])
def test_the_teachers_temperature_and_the_one_asked_for_both_divide_the_logits(own, asked):
    """Odds of 1 to 9 become 1 to 3."""
    found = shares(dense([1, 9], temperature=own), n_items=2, temperature=asked)
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4]], rtol=1e-6)
    found = shares(factors(2, temperature=own), n_items=2, temperature=asked)
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4]], rtol=1e-6)


def test_a_list_keeps_its_probabilities_and_spreads_the_rest_evenly():
    found = shares(lists([[2, 0]], [[0.5, 0.3]]), n_items=4)
    np.testing.assert_allclose(found, [[0.3, 0.1, 0.5, 0.1]], rtol=1e-6)


def test_a_tail_says_in_which_proportions_the_rest_is_shared():
    """0.2 is left to items 1 and 3, whose tail is 1 to 3; what it has of listed items does not matter."""
    found = shares(lists([[2, 0]], [[0.5, 0.3]], tail=np.array([0.3, 0.1, 0.3, 0.3], np.float32)), n_items=4)
    np.testing.assert_allclose(found, [[0.3, 0.05, 0.5, 0.15]], rtol=1e-6)


def test_at_another_temperature_tail_and_list_are_raised_alike():
    """1/2 is listed and 1/8 and 3/8 are not; the squares are as 16 to 1 to 9."""
    found = shares(lists([[2]], [[1 / 2]], tail=np.array([1, 3, 5], np.float32)), n_items=3, temperature=0.5)
    np.testing.assert_allclose(found, [[1 / 26, 9 / 26, 16 / 26]], rtol=1e-6)


def test_logits_count_only_relative_to_their_log_sum():
    found = shares(lists([[2, 0]], [[5, 3]], log_sums=np.log(10)), n_items=4)
    np.testing.assert_allclose(found, [[0.3, 0.1, 0.5, 0.1]], rtol=1e-6)


def test_a_list_of_every_item_has_no_tail():
    found = shares(lists([[1, 0]], [[3, 1]], log_sums=np.log(4)), n_items=2)
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4]], rtol=1e-6)


def test_a_list_that_claims_the_whole_mass_leaves_nothing_to_the_tail():
    found = shares(lists([[1, 0]], [[3, 1]], log_sums=np.log(4)), n_items=4)
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1, 2, 5])
def test_lists_are_exact_at_any_temperature_where_the_tail_is_flat(temperature):
    weights = [6, 4, 1, 1, 1]
    cut = lists([[0, 1]], [[6, 4]], log_sums=np.log(13))
    np.testing.assert_allclose(
        shares(cut, n_items=5, temperature=temperature),
        shares(dense(weights), n_items=5, temperature=temperature),
        rtol=1e-5,
    )


@pytest.mark.parametrize("temperature", [0.5, 1, 2, 5])
def test_lists_are_exact_at_any_temperature_where_the_tail_has_its_proportions(temperature):
    cut = lists([[0, 1]], [[6, 4]], log_sums=np.log(16), tail=np.array([9, 9, 3, 2, 1], np.float32))
    np.testing.assert_allclose(
        shares(cut, n_items=5, temperature=temperature),
        shares(dense([6, 4, 3, 2, 1]), n_items=5, temperature=temperature),
        rtol=1e-5,
    )


def test_where_the_tail_is_not_flat_the_listed_items_are_still_exact_at_temperature_1():
    found = shares(lists([[0, 1]], [[6, 4]], log_sums=np.log(14)), n_items=4)
    np.testing.assert_allclose(found, [[6 / 14, 4 / 14, 2 / 14, 2 / 14]], rtol=1e-6)  # in truth 3 / 14 and 1 / 14


def test_an_empty_list_says_nothing_and_a_short_one_ends_at_its_end():
    found = lists([[-1, -1], [1, -1]], [[1, 1], [0.5, 0.5]])
    np.testing.assert_allclose(shares(found, n_positions=2, n_items=3), [[0, 0, 0], [1 / 4, 1 / 2, 1 / 4]], rtol=1e-6)
    assert covered(found, n_positions=2, n_items=3) == [False, True]


def test_a_mixture_is_the_mean_of_probabilities_by_weight():
    """3/4 of (1/4, 3/4) and 1/4 of (1/2, 1/2)."""
    found = shares(dense([1, 3], weight=3), factors(0, weight=1), n_items=2)
    np.testing.assert_allclose(found, [[5 / 16, 11 / 16]], rtol=1e-6)


def test_only_the_parts_that_speak_of_a_position_count_there():
    """Position 0 has both parts, position 1 the second alone, position 2 none."""
    parts = [dense([1, 3], rows=np.array([0])), factors(0, 0, rows=np.array([0, 1]))]
    found = shares(*parts, n_positions=3, n_items=2)
    np.testing.assert_allclose(found, [[3 / 8, 5 / 8], [1 / 2, 1 / 2], [0, 0]], rtol=1e-6)
    assert covered(*parts, n_positions=3, n_items=2) == [True, True, False]


def test_an_empty_list_takes_no_share_of_a_mixture():
    found = shares(lists([[-1]], [[1]], weight=5), dense([1, 3]), n_items=2)
    np.testing.assert_allclose(found, [[1 / 4, 3 / 4]], rtol=1e-6)


def test_nothing_is_known_without_parts():
    assert covered(n_positions=2, n_items=3) == [False, False]


def test_labels_say_how_many_positions_they_speak_of():
    assert [n_rows(part) for part in (factors(1, 0), dense([1, 3]), lists([[0]] * 3, [[1]] * 3))] == [2, 1, 3]
