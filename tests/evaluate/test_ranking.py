import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.ranking import check_cutoffs, hit_rate, mrr, ndcg, precision, ranks_of_relevant, recall
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


def test_second_item_relevant_gives_one_half():
    second = Ragged.of([[2]])
    assert mrr(second).tolist() == [1 / 2]
    assert mrr(second, 2).tolist() == [1 / 2]
    assert mrr(second, 1).tolist() == [0]


def test_mrr_takes_the_best_of_several():
    assert mrr(Ragged.of([[9, 4], [5]])).tolist() == [1 / 4, 1 / 5]


def test_ndcg_of_one_relevant_item_is_the_discount_of_its_rank():
    assert ndcg(Ragged.of([[1], [3], [4]]), 3).tolist() == [1, 1 / math.log2(4), 0]


def test_ndcg_is_one_when_the_list_is_full_of_relevant_items():
    # three relevant items cannot fit in two places, and the ideal knows it
    assert ndcg(Ragged.of([[1, 2, 7]]), 2).tolist() == [1]


def test_ndcg_of_the_second_of_two():
    gained, ideal = 1 / math.log2(3), 1 + 1 / math.log2(3)
    assert ndcg(Ragged.of([[2, 50]]), 10)[0] == pytest.approx(gained / ideal)


def test_recall_precision_and_hit_rate_count_the_same_hits():
    two_of_four = Ragged.of([[1, 5, 6, 30]])
    assert recall(two_of_four, 5).tolist() == [2 / 4]
    assert precision(two_of_four, 5).tolist() == [2 / 5]
    assert hit_rate(two_of_four, 5).tolist() == [1]
    assert hit_rate(Ragged.of([[6]]), 5).tolist() == [0]


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


@pytest.mark.parametrize("metric", [ndcg, recall, mrr])
def test_metrics_that_divide_by_what_is_relevant_refuse_a_case_without(metric):
    with pytest.raises(DataError, match="case 1 has no relevant item"):
        metric(Ragged.of([[1], []]), 1)


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
