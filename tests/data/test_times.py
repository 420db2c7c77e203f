from datetime import UTC, date, datetime

import polars as pl
import pytest

from distilrec.data.times import parse_times

NEW_YEAR_2024 = 1_704_067_200


@pytest.mark.parametrize(("unit", "note"), [
    (1, ""), (10**3, "unix time in milliseconds"), (10**6, "unix time in microseconds"),
    (10**9, "unix time in nanoseconds"),
])  # fmt: skip
def test_unix_times_are_read_in_the_unit_that_makes_sense(unit, note):
    parsed = parse_times(pl.Series([NEW_YEAR_2024 * unit]))
    assert parsed.seconds.to_list() == [NEW_YEAR_2024]
    assert parsed.note == note


@pytest.mark.parametrize("text", [
    "2024-01-01", "2024-01-01 00:00", "2024-01-01 00:00:00", "2024-01-01T00:00:00", "2024-01-01T00:00:00Z",
    "2024-01-01T01:00:00+01:00", "2024/01/01 00:00:00", " 1704067200 ", "1704067200.0",
])  # fmt: skip
def test_iso_dates_and_numbers_are_read_as_text(text):
    assert parse_times(pl.Series([text])).seconds.to_list() == [NEW_YEAR_2024]


def test_a_column_may_hold_several_forms():
    parsed = parse_times(pl.Series(["1704067200", "2024-01-01"]))
    assert parsed.seconds.to_list() == [NEW_YEAR_2024] * 2


@pytest.mark.parametrize("value", [date(2024, 1, 1), datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)])
def test_dates_and_datetimes_are_read_as_they_are(value):
    assert parse_times(pl.Series([value])).seconds.to_list() == [NEW_YEAR_2024]


@pytest.mark.parametrize("value", ["-1", "4102444800", "yesterday", "31/12/2023", "inf"])
def test_times_that_cannot_be_are_marked(value):
    """31/12/2023 could be read, but 3/4/2023 could not, so neither is guessed."""
    parsed = parse_times(pl.Series([value, "0"]))
    assert parsed.bad.to_list() == [True, False]
    assert parsed.seconds.to_list() == [None, 0]


@pytest.mark.parametrize("column", [["", "5"], [None, "5"], [float("nan"), 5.0], [None, 5]])
def test_no_time_is_not_a_bad_time(column):
    parsed = parse_times(pl.Series(column))
    assert parsed.seconds.to_list() == [None, 5]
    assert not parsed.bad.any()
