import numpy as np
import pytest

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.beyond import Catalogue, Coverage, beyond_accuracy, cases_in_tail, tail_items
from distilrec.evaluate.evaluation import evaluate
from distilrec.evaluate.lists import top_lists
from distilrec.types import Cases, Ragged


class Fixed:
    """Gives every history the same scores."""

    n_items = 4

    def __init__(self, *scores):
        self.row = np.array(scores, dtype=np.float32)

    def scores(self, batch):
        return np.tile(self.row, (len(batch), 1))


def cases(histories, relevant):
    return Cases(np.arange(len(histories)), Ragged.of(histories), Ragged.of(relevant))


def test_the_head_is_the_fewest_items_that_hold_a_fifth_of_the_events():
    assert tail_items(np.array([1, 20, 9, 70])).tolist() == [True, True, True, False]
    assert tail_items(np.array([10, 10, 60, 10, 10]), head_share=0.7).tolist() == [False, True, False, True, True]


def test_an_item_that_reaches_the_share_exactly_is_the_last_of_the_head():
    assert tail_items(np.array([80, 20]), head_share=0.8).tolist() == [False, True]


def test_of_equally_popular_items_the_first_are_the_heads():
    assert tail_items(np.ones(5, dtype=np.int64)).tolist() == [False, True, True, True, True]


def test_without_a_head_all_is_tail():
    assert tail_items(np.array([3, 1]), head_share=0.0).all()


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(SettingsError, match=rf"head_share is {share}; expected a share of the events, from 0 to below"):
        tail_items(np.ones(2, dtype=np.int64), head_share=share)


def test_the_cases_of_the_tail_are_those_that_ask_for_its_items_alone():
    tail = np.array([False, True, True, True])
    asked = cases([[0], [1], [2], [3]], [[0], [0, 2], [1], [2, 1]])
    assert cases_in_tail(asked, tail).tolist() == [False, False, True, True]


def test_accuracy_on_the_tail_is_the_mean_over_its_cases_among_the_whole_catalogue():
    """Item 0 is popular and always first; who wants item 1 finds it second."""
    asked = cases([[3], [3], [3]], [[0], [1], [2]])
    found = evaluate(Fixed(4, 3, 2, 1), asked, cutoffs=[2], quiet=True)
    of_tail = found.values("ndcg@2")[cases_in_tail(asked, tail_items(np.array([97, 1, 1, 1])))]
    assert of_tail.tolist() == pytest.approx([1 / np.log2(3), 0])


def covered(scorer, asked, *, k, **options):
    coverage = Coverage(len(asked), 4, k=k)
    evaluate(scorer, asked, cutoffs=[1], watch=coverage, quiet=True, **options)
    return coverage.share


def test_coverage_is_the_share_of_items_that_somebody_is_shown():
    """All are shown items 0 and 1, but for who had item 1 and is shown item 2."""
    asked = cases([[3], [2, 1]], [[0], [0]])
    scorer = Fixed(4, 3, 1, 2)
    assert covered(scorer, asked, k=2) == 3 / 4
    assert covered(scorer, asked, k=2, exclude_history=False) == 2 / 4
    assert covered(scorer, asked, k=2, batch_size=1) == 3 / 4


def test_what_is_excluded_is_not_shown_even_where_nothing_else_is_left():
    assert covered(Fixed(4, 3, 2, 1), cases([[0, 1, 2]], [[3]]), k=4) == 1 / 4


def test_all_of_a_history_is_excluded_though_the_model_reads_its_end_alone():
    class Short(Fixed):
        max_length = 1

    assert covered(Short(4, 3, 2, 1), cases([[0, 1, 2]], [[3]]), k=1) == 1 / 4


def test_whoever_watches_changes_no_number():
    asked = cases([[3], [1]], [[0], [2]])
    found = [
        evaluate(Fixed(4, 3, 2, 1), asked, cutoffs=[2], watch=watch, quiet=True).per_user
        for watch in (None, Coverage(2, 4, k=1))
    ]
    assert found[0].equals(found[1])


def test_lists_longer_than_the_catalogue_are_refused():
    with pytest.raises(SettingsError, match="cut-off 5 is larger than the catalogue of 4 items"):
        Coverage(1, 4, k=5)


def test_all_measures_of_the_lists_are_columns_and_totals():
    asked = cases([[3], [1]], [[0], [2]])
    lists = top_lists(Fixed(4, 3, 2, 1), asked, k=2, quiet=True)
    assert lists.tolist() == [[0, 1], [0, 2]]
    plain = beyond_accuracy(lists, asked, Catalogue(counts=np.array([4, 2, 1, 0]), n_users=4))
    assert plain.per_case.columns == [
        f"{name}@2" for name in ("popularity", "popularity_lift", "novelty", "new_items", "serendipity")
    ]
    assert plain.per_case["popularity@2"].to_list() == [3, 5 / 2]
    assert plain.per_case["novelty@2"].to_list() == [1 / 2, 2 / 2]
    assert plain.totals == {"coverage@2": 3 / 4, "gini@2": pytest.approx(3 / 8), "entropy@2": 1.5}
    known = Catalogue(
        np.array([4, 2, 1, 0]), 4, vectors=np.eye(4, dtype=np.float32), categories=np.eye(4, dtype=np.float32)
    )
    more = beyond_accuracy(lists, asked, known).per_case
    assert more["diversity@2"].to_list() == [1, 1]
    assert more["category_diversity@2"].to_list() == [1, 1]
    assert more["miscalibration@2"].min() > 0


def test_measures_of_lists_are_compared_like_any_metric():
    asked = cases([[3], [1]], [[0], [2]])
    found = evaluate(Fixed(4, 3, 2, 1), asked, cutoffs=[2], quiet=True)
    lists = top_lists(Fixed(4, 3, 2, 1), asked, k=2, quiet=True)
    more = beyond_accuracy(lists, asked, Catalogue(np.array([4, 2, 1, 0]), 4)).per_case
    assert found.with_columns(more).mean("popularity@2") == (3 + 5 / 2) / 2
    with pytest.raises(DataError, match="1 rows for 2 cases; expected one each, in their order"):
        found.with_columns(more.head(1))
    with pytest.raises(DataError, match=r"popularity@2, popularity_lift@2, .* is there already; name the new metrics"):
        found.with_columns(more).with_columns(more)
