import numpy as np
import polars as pl
import pytest
from made_evaluations import evaluation

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.slices import (
    by_cold_items,
    by_cold_users,
    by_history_length,
    by_item_column,
    by_target_popularity,
    by_user_column,
    slice_table,
    standard_slicings,
)
from distilrec.types import Cases, Ragged


def cases(histories, relevant):
    return Cases(np.arange(len(histories)), Ragged.of(histories), Ragged.of(relevant))


def asking(*relevant):
    return cases([[9]] * len(relevant), relevant)


def found(slicing):
    return {label: np.flatnonzero(members).tolist() for label, members in slicing.groups.items()}


def test_an_edge_of_history_length_begins_a_group():
    asked = cases([[0] * length for length in (0, 1, 2, 4, 5)], [[9]] * 5)
    assert found(by_history_length(asked, (1, 2, 5))) == {"0": [0], "1": [1], "2 to 4": [2, 3], "5 or more": [4]}


def test_groups_without_a_case_are_not_there():
    assert found(by_history_length(asking([0]), (5, 10))) == {"0 to 4": [0]}


@pytest.mark.parametrize("edges", [(), (5, 5), (10, 5), (0, 5)])
def test_edges_that_make_no_groups_are_refused(edges):
    with pytest.raises(SettingsError, match=r"are no lengths in rising order; expected such as 5, 10, 20"):
        by_history_length(asking([0]), edges)


def test_answers_are_of_the_head_the_middle_or_the_tail():
    counts = np.array(
        [60, 50, 30, 20, 10, 10, 0]
    )  # of 180 events the first holds a third, the first three more than two
    asked = asking([0], [1], [2], [3], [6], [0, 3])
    assert found(by_target_popularity(asked, counts)) == {
        "head": [0],
        "middle": [1, 2],
        "tail": [3],
        "never seen in training": [4],
        "of several groups": [5],
    }


def test_cold_users_have_few_events_and_cold_items_few_users():
    asked = cases([[1], [1] * 9], [[0], [2]])
    assert found(by_cold_users(asked, most=1)) == {"at most 1 events": [0], "others": [1]}
    assert found(by_cold_items(asked, np.array([9, 9, 3]), most=3)) == {"chosen at most 3 times": [1], "others": [0]}


def test_a_column_of_users_makes_a_group_of_each_value_the_largest_first():
    users = pl.DataFrame({"gender": ["F", "M", "M", None]})
    assert found(by_user_column(asking([0], [0], [0], [0]), users, "gender")) == {"M": [1, 2], "F": [0]}


def test_a_column_of_lists_puts_a_case_into_several_groups():
    items = pl.DataFrame({"genres": [["Comedy", "Drama"], ["Drama"], []]})
    slicing = by_item_column(asking([0], [1], [2]), items, "genres")
    assert slicing.name == "genres of the answer"
    assert found(slicing) == {"Drama": [0, 1], "Comedy": [0]}


def test_text_is_parted_where_a_separator_is_told():
    items = pl.DataFrame({"genres": ["Comedy|Drama", "Drama"]})
    assert found(by_item_column(asking([0], [1]), items, "genres", separator="|")) == {"Drama": [0, 1], "Comedy": [0]}
    assert found(by_item_column(asking([0], [1]), items, "genres")) == {"Comedy|Drama": [0], "Drama": [1]}


@pytest.mark.parametrize("missing", [float("nan"), None])
def test_nan_is_no_value_and_leaves_the_quarters_of_the_others(missing):
    ages = [*map(float, range(40)), missing]
    slicing = by_user_column(asking(*[[0]] * 41), pl.DataFrame({"age": ages}), "age")
    assert [len(np.flatnonzero(members)) for members in slicing.groups.values()] == [10] * 4
    texts = by_user_column(asking(*[[0]] * 41), pl.DataFrame({"age": [str(age) for age in ages[:40]] + ["NaN"]}), "age")
    assert found(texts) == found(slicing)


def test_many_numbers_are_put_into_quarters_also_where_they_are_text():
    users = pl.DataFrame({"age": [str(age) for age in range(12)]})  # quartiles 2.75, 5.5, 8.25
    slicing = by_user_column(asking(*[[0]] * 12), users, "age")
    assert found(slicing) == {
        "below 2.75": [0, 1, 2],
        "from 2.75 to below 5.5": [3, 4, 5],
        "from 5.5 to below 8.25": [6, 7, 8],
        "from 8.25": [9, 10, 11],
    }


def test_beyond_ten_values_the_rare_ones_are_joined():
    jobs = [f"job {number}" for number in range(12)] + ["job 11"]
    slicing = by_user_column(asking(*[[0]] * 13), pl.DataFrame({"job": jobs}), "job")
    assert len(slicing.groups) == 10
    assert found(slicing)["job 11"] == [11, 12]
    assert len(found(slicing)["all others"]) == 3


def test_an_unknown_column_is_refused():
    with pytest.raises(SettingsError, match="the table of users has no column 'age'; it has job"):
        by_user_column(asking([0]), pl.DataFrame({"job": ["a"]}), "age")


def test_the_table_has_each_groups_count_mean_and_interval():
    asked = cases([[0], [0] * 7, [0] * 8], [[9]] * 3)
    rows = slice_table(evaluation([1, 0, 0.5]), [by_history_length(asked, (5,))])
    assert [(row.slicing, row.label, row.n, row.interval.mean) for row in rows] == [
        ("events in the history", "0 to 4", 1, 1),
        ("events in the history", "5 or more", 2, 1 / 4),
    ]
    assert (rows[1].interval.low, rows[1].interval.high) == (0, 1 / 2)


def test_groups_of_other_cases_are_refused():
    with pytest.raises(DataError, match="groups were made of 1 cases, but 2 were evaluated; make them of the same"):
        slice_table(evaluation([1, 0]), [by_history_length(asking([0]))])


def test_the_standard_slicings_are_those_of_four_that_part_the_cases():
    asked = cases([[1], [1] * 9], [[0], [2]])
    names = [slicing.name for slicing in standard_slicings(asked, np.array([9, 9, 3]))]
    assert names == ["events in the history", "popularity of the answer", "cold users", "cold items"]
    assert standard_slicings(asking([0]), np.array([3])) == []
