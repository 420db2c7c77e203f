"""Outside ids become row numbers, in whichever form they arrive."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilrec.ids import IdIndex

INTEGERS = IdIndex(pl.Series([50, 181, -7]))
WORDS = IdIndex(pl.Series(["50", "tt01", "007"]))


@pytest.mark.parametrize(
    "ids",
    [[50, -7, 181], ["50", "-7", " 181 "], [np.int64(50), np.str_("-7"), np.int32(181)], [50.0, np.float64(-7), 181]],
)
def test_numbers_are_found_as_numbers_and_as_text(ids):
    assert INTEGERS.rows(ids).tolist() == [0, 2, 1]


def test_text_is_found_as_text_and_as_a_number():
    assert WORDS.rows(["tt01", 50, "50", np.int64(50)]).tolist() == [1, 0, 0, 0]


def test_a_bool_is_no_number_among_numbers_either():
    index = IdIndex(pl.Series([0, 1]))
    assert index.rows([1, True, 0]).tolist() == [1, -1, 0]
    assert index.rows([]).tolist() == []
    assert WORDS.rows(["007", " tt01", "x"]).tolist() == [2, 1, -1]


@pytest.mark.parametrize(
    "unknown",
    [51, "51", "", "-", "050", "5e1", "50.0", "\u0665\u0660", "\u00b2", 50.5, math.nan, math.inf, True, None, (50,)],
)
def test_what_only_looks_like_an_id_is_unknown(unknown):
    assert INTEGERS.rows([unknown]).tolist() == [-1]


def test_leading_zeros_are_part_of_a_text_id():
    assert WORDS.rows(["007", 7, "7"]).tolist() == [2, -1, -1]


@pytest.mark.parametrize("endless", ["9" * 5000, "-" + "9" * 5000, 10**30])
def test_a_number_of_thousands_of_digits_is_unknown_not_an_error(endless):
    """Python refuses to read text of more than 4300 digits as a number; a URL may hold it."""
    assert INTEGERS.rows([endless]).tolist() == [-1]


def test_no_ids_give_no_rows():
    assert INTEGERS.rows([]).tolist() == []
    assert len(INTEGERS) == 3


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True))
def test_every_64_bit_number_is_found_in_both_forms(ids):
    index = IdIndex(pl.Series(ids, dtype=pl.Int64))
    assert index.rows(ids).tolist() == index.rows(map(str, ids)).tolist() == list(range(len(ids)))
