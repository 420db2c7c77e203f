import math

import numpy as np
import pytest

from distilrec.errors import DataError
from distilrec.evaluate.accuracy import auc, average_precision, f1, hit_rate, mrr, ndcg, precision, recall
from distilrec.types import Ragged


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


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    assert f1(Ragged.of([[1, 5, 6, 30]]), 5).tolist() == [2 * 2 / (5 + 4)]
    assert f1(Ragged.of([[6]]), 5).tolist() == [0]


def test_average_precision_is_the_mean_of_the_precisions_at_the_hits():
    third_and_first = Ragged.of([[3, 1]])
    assert average_precision(third_and_first, 10).tolist() == [(1 / 1 + 2 / 3) / 2]
    assert average_precision(third_and_first, 2).tolist() == [1 / 2]


def test_average_precision_of_nothing_but_hits_is_one():
    assert average_precision(Ragged.of([[1, 2, 3]]), 2).tolist() == [1]


def test_average_precision_of_one_relevant_item_is_its_reciprocal_rank():
    assert average_precision(Ragged.of([[4], [9]]), 5).tolist() == [1 / 4, 0]


def test_auc_is_the_share_of_the_others_that_stand_behind():
    assert auc(Ragged.of([[1], [3], [5]]), np.array([5, 5, 5])).tolist() == [1, 2 / 4, 0]


def test_auc_of_several_counts_pairs_with_items_that_are_not_relevant():
    # ranks 1 and 4 of 4: before the second stand two others, of 2 x 2 pairs two are wrong
    assert auc(Ragged.of([[1, 4]]), np.array([4])).tolist() == [2 / 4]


def test_auc_is_one_where_nothing_else_is_ranked():
    assert auc(Ragged.of([[1, 2]]), np.array([2])).tolist() == [1]


@pytest.mark.parametrize("n_ranked", [[5], [5, 0]])
def test_auc_refuses_numbers_that_do_not_fit_the_cases(n_ranked):
    with pytest.raises(DataError, match=r"n_ranked has \d numbers for 2 cases, or says that fewer items are ranked"):
        auc(Ragged.of([[1], [1]]), np.array(n_ranked))


@pytest.mark.parametrize("metric", [ndcg, recall, mrr, average_precision])
def test_metrics_that_divide_by_what_is_relevant_refuse_a_case_without(metric):
    with pytest.raises(DataError, match="case 1 has no relevant item"):
        metric(Ragged.of([[1], []]), 1)
