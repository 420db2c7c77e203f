"""Units are left out where they are made and where they are read, and nothing else changes."""

import numpy as np
import pytest

from distilrec.compress.sensitivity import LEVELS, measure_losses, shares_by_sensitivity
from distilrec.compress.units import Units, keep, silenced, weights_of
from distilrec.errors import SettingsError

STATE = {"in.weight": np.array([[3.0], [1], [2]]), "in.bias": np.array([4.0, 0, 0]), "out.weight": np.eye(3)}
UNITS = Units(3, ("in.weight", "in.bias"), ("out.weight",))


def test_a_units_weight_is_the_length_of_what_makes_it_times_that_of_what_reads_it():
    """The first is made with 3 and 4, whose length is 5, and read with 1."""
    assert weights_of(STATE, UNITS).tolist() == [5, 1, 2]


def test_units_are_kept_in_their_order():
    kept = keep(STATE, UNITS, [2, 0])
    assert kept["in.weight"].tolist() == [[3], [2]]
    assert kept["in.bias"].tolist() == [4, 0]
    assert kept["out.weight"].tolist() == [[1, 0], [0, 0], [0, 1]]


def test_a_silenced_unit_is_read_by_nobody():
    assert silenced(STATE, UNITS, [1])["out.weight"].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert STATE["out.weight"].tolist() == np.eye(3).tolist()


def test_heads_are_several_numbers_wide_in_several_runs():
    """Two heads of two numbers in queries and keys: rows 0 to 3 and 4 to 7."""
    state = {"made": np.arange(8.0)[:, None], "read": np.arange(4.0)[None]}
    heads = Units(2, ("made",), ("read",), times=2, span=2)
    kept = keep(state, heads, [1])
    assert kept["made"].ravel().tolist() == [2, 3, 6, 7]
    assert kept["read"].tolist() == [[2, 3]]


def test_the_less_sensitive_part_loses_more():
    losses = {"dear": {level: level for level in LEVELS}, "cheap": dict.fromkeys(LEVELS, 0.0)}
    shares = shares_by_sensitivity({"dear": 10, "cheap": 10}, losses, 0.5)
    assert shares["cheap"] == pytest.approx(0.9, abs=0.01)
    assert shares["dear"] == pytest.approx(0.1, abs=0.01)


def test_equally_sensitive_parts_lose_alike_and_as_much_as_is_asked():
    losses = {part: {level: level**2 for level in LEVELS} for part in "ab"}
    assert shares_by_sensitivity({"a": 30, "b": 10}, losses, 0.6) == pytest.approx({"a": 0.6, "b": 0.6}, abs=1e-6)


def test_parts_that_cost_nothing_lose_as_much_as_is_asked_and_no_more():
    free = dict.fromkeys("ab", dict.fromkeys(LEVELS, -0.1))
    assert shares_by_sensitivity({"a": 1, "b": 1}, free, 0.5) == pytest.approx({"a": 0.5, "b": 0.5})


def test_beyond_what_was_measured_all_lose_alike():
    losses = dict.fromkeys("ab", dict.fromkeys(LEVELS, 0.1))
    assert shares_by_sensitivity({"a": 1, "b": 1}, losses, 0.95) == {"a": 0.95, "b": 0.95}


def test_a_share_of_all_is_refused():
    with pytest.raises(SettingsError, match="share is 1; expected a number between 0 and 1"):
        shares_by_sensitivity({"a": 1}, {"a": dict.fromkeys(LEVELS, 0.0)}, 1)


def test_losses_are_what_the_score_falls_by():
    losses = measure_losses({"a": 4}, lambda name, level: 1 - level, 1.0)
    assert losses == {"a": pytest.approx({level: level for level in LEVELS})}
