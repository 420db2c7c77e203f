import numpy as np
import polars as pl
import pytest

from distilrec.config import parse
from distilrec.data.filter import FilterSettings, filter_interactions, k_core
from distilrec.data.interactions import build_interactions
from distilrec.errors import DataError, SettingsError


def build(*rows):
    names = ["user_id", "item_id", "weight"]
    return build_interactions(pl.DataFrame(rows, schema=names, orient="row").cast({"weight": pl.Float32}))


def kept(log):
    users, items = log.users["user_id"], log.items["item_id"]
    return list(zip(users.gather(log.events["user"]), items.gather(log.events["item"]), strict=True))


def test_nothing_is_left_out_by_default():
    log = build(("a", "x", 1.0), ("a", "x", 1.0))
    same, notes = filter_interactions(log, FilterSettings())
    assert same.digest() == log.digest()
    assert notes == []


def test_ratings_below_the_minimum_are_left_out():
    log, notes = filter_interactions(build(("a", "x", 3.0), ("a", "y", 4.0)), FilterSettings(min_rating=4))
    assert kept(log) == [("a", "y")]
    assert notes == ["min_rating=4 left out 1 of 2 events", "left: 1 of 1 users, 1 of 2 items"]


def test_the_first_event_of_a_pair_is_kept():
    rows = build(("a", "x", 1.0), ("a", "y", 2.0), ("a", "x", 3.0))
    log, notes = filter_interactions(rows, FilterSettings(deduplicate=True))
    assert log.events["weight"].to_list() == [1, 2]
    assert notes == ["deduplicate left out 1 of 3 events"]


def test_a_core_shrinks_until_it_is_stable():
    """Without z, c has one event left; without c, y has one; a, b, w and x stay."""
    pairs = ["aw", "ax", "bw", "bx", "by", "cy", "cz"]
    log, notes = filter_interactions(build(*((u, i, 1.0) for u, i in pairs)), FilterSettings(k_core=2))
    assert kept(log) == [("a", "w"), ("a", "x"), ("b", "w"), ("b", "x")]
    assert notes == ["k_core=2 left out 3 of 7 events", "left: 2 of 3 users, 2 of 4 items"]


def test_a_core_may_be_empty():
    assert k_core(np.array([0, 1]), np.array([0, 1]), 2).tolist() == [False, False]


@pytest.mark.parametrize(("settings", "said"), [
    (FilterSettings(min_rating=9), "leaves nothing of 1 events with weights from 5 to 5: min_rating=9 left out 1 of 1"),
    (FilterSettings(k_core=2), "k_core=2 left out 1 of 1 events. Use a smaller min_rating or k_core"),
])  # fmt: skip
def test_a_filter_that_leaves_nothing_is_refused(settings, said):
    with pytest.raises(DataError) as error:
        filter_interactions(build(("a", "x", 5.0)), settings)
    assert said in str(error.value)


def test_an_unknown_setting_is_refused():
    with pytest.raises(SettingsError, match="unknown setting 'kcore'; did you mean 'k_core'"):
        parse(FilterSettings, {"kcore": 5})
