import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.accuracy import auc, average_precision, f1, hit_rate, mrr, ndcg, precision, recall
from distilrec.evaluate.ranking import check_cutoffs, rank, ranks_of_relevant
from distilrec.types import Ragged


def ranks(scores, relevant, excluded=None):
    table = np.array(scores, dtype=np.float32)
    answer = ranks_of_relevant(table, Ragged.of(relevant), None if excluded is None else Ragged.of(excluded))
    return [row.tolist() for row in answer]


def test_the_best_item_has_rank_one_and_the_worst_rank_n():
    assert ranks([[0.9, 0.5, 0.1]] * 3, [[0], [1], [2]]) == [[1], [2], [3]]


def test_items_of_the_history_are_taken_out_of_the_ranking():
    assert ranks([[0.9, 0.5, 0.7]], [[1]]) == [[3]]
    assert ranks([[0.9, 0.5, 0.7]], [[1]], [[0]]) == [[2]]
    assert ranks([[0.9, 0.5, 0.7]], [[1]], [[2, 0]]) == [[1]]


def test_an_item_repeated_in_the_history_is_taken_out_once():
    assert ranks([[0.9, 0.5, 0.7]], [[1]], [[0, 0, 0]]) == [[2]]


def test_excluding_a_worse_item_changes_nothing():
    assert ranks([[0.9, 0.5, 0.1]], [[1]], [[2]]) == [[2]]


def test_ties_count_against_the_model():
    assert ranks([[1, 1, 1, 0]], [[1]]) == [[3]]


def test_a_constant_scorer_ranks_the_relevant_item_last():
    assert ranks([[0, 0, 0, 0]], [[2]], [[0]]) == [[3]]


def test_several_relevant_items_at_the_top_take_the_first_ranks():
    assert ranks([[0.9, 0.8, 0.7, 0.1]], [[2, 0, 1]]) == [[3, 1, 2]]


def test_relevant_items_with_equal_scores_keep_their_own_order():
    assert ranks([[1, 1, 0]], [[1, 0]]) == [[1, 2]]


def test_an_item_scored_minus_infinity_is_last():
    assert ranks([[1, -np.inf, 0]], [[1]]) == [[3]]


def literal_order(scores, relevant, excluded):
    """The whole list, best first: by score, then irrelevant before relevant, then relevant in their own order."""
    items = [item for item in range(len(scores)) if item not in excluded]
    own = {item: place for place, item in enumerate(relevant)}
    return sorted(items, key=lambda item: (-scores[item], item in own, own.get(item, 0)))


@st.composite
def worlds(draw):
    n_items = draw(st.integers(2, 12))
    cases = []
    for _ in range(draw(st.integers(1, 5))):
        scores = draw(st.lists(st.sampled_from([-1.5, 0.0, 0.25, 2.0]), min_size=n_items, max_size=n_items))
        shuffled = draw(st.permutations(range(n_items)))
        n_relevant = draw(st.integers(1, n_items))
        history = [i for i in shuffled[n_relevant:] if draw(st.booleans())] * draw(st.integers(1, 2))
        cases.append((scores, shuffled[:n_relevant], history))
    return cases


def test_cases_with_many_relevant_items_are_ranked_as_those_with_few():
    """Twenty relevant items at every second place of 40, and one item of the history before them all."""
    scores = [list(range(40, -1, -1))]
    assert ranks(scores, [list(range(2, 41, 2))], [[0]]) == [list(range(2, 41, 2))]


def test_what_is_excluded_is_counted_once_and_scored_minus_infinity_and_what_was_given_stays():
    scores = np.array([[3, 2, 1, 0]], dtype=np.float32)
    ranking = rank(scores, Ragged.of([[2]]), Ragged.of([[0, 0]]))
    assert ranking.n_ranked.tolist() == [3]
    assert ranking.scores.tolist() == [[-np.inf, 2, 1, 0]]
    assert scores.tolist() == [[3, 2, 1, 0]]


def test_what_is_excluded_does_not_stand_before_an_item_scored_minus_infinity():
    assert ranks([[1, -np.inf, 0]], [[1]], [[0]]) == [[2]]


@given(worlds(), st.booleans(), st.integers(1, 12))
def test_ranks_and_metrics_agree_with_sorting_the_whole_list(cases, exclude, k):
    scores, relevant, histories = (list(part) for part in zip(*cases, strict=True))
    excluded = histories if exclude else [[] for _ in cases]
    orders = [literal_order(*case) for case in zip(scores, relevant, excluded, strict=True)]
    found = ranks(scores, relevant, histories if exclude else None)
    expected = [[order.index(i) + 1 for i in items] for order, items in zip(orders, relevant, strict=True)]
    assert found == expected

    for case, (order, items) in enumerate(zip(orders, relevant, strict=True)):
        marks = [item in items for item in order]
        gain = sum(mark / math.log2(place + 2) for place, mark in enumerate(marks[:k]))
        ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(items))))
        table = Ragged.of(found)
        assert ndcg(table, k)[case] == pytest.approx(gain / ideal)
        assert recall(table, k)[case] == pytest.approx(sum(marks[:k]) / len(items))
        assert precision(table, k)[case] == pytest.approx(sum(marks[:k]) / k)
        assert hit_rate(table, k)[case] == any(marks[:k])
        precise = [sum(marks[: place + 1]) / (place + 1) for place, mark in enumerate(marks[:k]) if mark]
        assert average_precision(table, k)[case] == pytest.approx(sum(precise) / min(k, len(items)))
        p, r = sum(marks[:k]) / k, sum(marks[:k]) / len(items)
        assert f1(table, k)[case] == pytest.approx(2 * p * r / (p + r) if p + r else 0)
        pairs = [(good, bad) for good in range(len(marks)) for bad in range(len(marks)) if marks[good] > marks[bad]]
        right = sum(good < bad for good, bad in pairs) / len(pairs) if pairs else 1
        n_ranked = np.array([len(order) for order in orders])
        assert auc(table, n_ranked)[case] == pytest.approx(right)
        assert mrr(table)[case] == pytest.approx(1 / (marks.index(True) + 1))
        assert mrr(table, k)[case] == pytest.approx(1 / (marks.index(True) + 1) if any(marks[:k]) else 0)


def test_nan_scores_name_the_case():
    scores = np.array([[1, 2], [np.nan, 1], [0, np.nan]], dtype=np.float32)
    with pytest.raises(DataError, match=r"scores of case 41 contain NaN \(2 of 3 cases"):
        ranks_of_relevant(scores, Ragged.of([[0], [1], [0]]), case_numbers=np.array([40, 41, 42]))


def test_scores_of_the_wrong_shape_are_refused():
    with pytest.raises(DataError, match=r"shape \(1, 2\); expected \(2, number of items\)"):
        ranks([[0, 1]], [[0], [1]])
    with pytest.raises(DataError, match=r"shape \(2,\); expected \(1, number of items\)"):
        ranks([0, 1], [[0]])


def test_rows_that_do_not_match_the_scores_are_refused():
    with pytest.raises(DataError, match=r"excluded items were given for 2 cases; expected 1"):
        ranks([[0, 1]], [[0]], [[1], [1]])


def test_a_relevant_item_in_an_excluded_history_is_refused():
    with pytest.raises(DataError, match=r"relevant item 1 of case 1 is in its history.*exclude_history=False"):
        ranks([[0, 1], [0, 1]], [[0], [1]], [[1], [1]])


def test_a_relevant_item_named_twice_is_refused():
    with pytest.raises(DataError, match="case 0 names relevant item 1 twice"):
        ranks([[0, 1]], [[1, 1]])


@pytest.mark.parametrize("item", [-1, 2])
def test_items_outside_the_catalogue_are_refused(item):
    with pytest.raises(DataError, match=f"relevant item {item} of case 0 is outside the catalogue of 2 items"):
        ranks([[0, 1]], [[item]])
    with pytest.raises(DataError, match=f"excluded item {item} of case 0 is outside"):
        ranks([[0, 1]], [[0]], [[item]])


@pytest.mark.parametrize(
    ("cutoffs", "message"),
    [
        ([5, 11], "cut-off 11 is larger than the catalogue of 10 items"),
        ([0], "cut-off 0 is not a length of a list"),
        ([5, 5], r"cut-offs \[5, 5\] name one twice"),
    ],
)
def test_cutoffs_that_make_no_sense_are_refused(cutoffs, message):
    with pytest.raises(SettingsError, match=message):
        check_cutoffs(cutoffs, 10)
