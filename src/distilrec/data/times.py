"""Times in whatever form into unix seconds."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from distilrec.data.tables import NOTHING

_LAST = 4_102_444_800  # 2100-01-01
# A median above the first number is counted in units of which the second make one second.
_UNITS = ((1e17, 1e9, "nanoseconds"), (1e14, 1e6, "microseconds"), (1e11, 1e3, "milliseconds"))
_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_FORMAT_WITH_ZONE = "%Y-%m-%d %H:%M:%S%.f%#z"


@dataclass(frozen=True)
class Times:
    """Seconds with their fraction, null where there is no time; `bad` where there is one that cannot be."""

    seconds: pl.Series  # Float64
    bad: pl.Series
    note: str = ""


def parse_times(values: pl.Series) -> Times:
    """Read unix seconds (milli-, micro-, nanoseconds too), ISO dates and datetimes; without a zone it is UTC."""
    note = ""
    if values.dtype.is_numeric():
        values = values.cast(pl.Float64).fill_nan(None)
        seconds, note = _unix(values)
    elif values.dtype in (pl.Date, pl.Datetime):
        seconds = _epoch(values)
    else:
        values = values.cast(pl.String, strict=False).str.strip_chars()
        values = values.set(values.is_in(NOTHING), None)
        numbers = values.cast(pl.Float64, strict=False)
        unix, note = _unix(numbers)
        seconds = unix if numbers.null_count() == values.null_count() else unix.zip_with(
            numbers.is_not_null(), _epoch(_parse(values))
        )  # fmt: skip
    impossible = ((seconds < 0) | (seconds >= _LAST) | ~seconds.is_finite()).fill_null(False)
    bad = impossible | (seconds.is_null() & values.is_not_null())
    return Times(seconds.set(impossible, None), bad, note)


def _unix(numbers: pl.Series) -> tuple[pl.Series, str]:
    median = numbers.median()
    for above, units, name in _UNITS:
        if isinstance(median, float) and median > above:
            return numbers / units, f"unix time in {name}"
    return numbers, ""


def _epoch(times: pl.Series) -> pl.Series:
    return times.cast(pl.Datetime("us")).dt.epoch("us") / 1e6


def _parse(texts: pl.Series) -> pl.Series:
    texts = texts.str.replace(r"^(\d{4})/(\d{2})/(\d{2})", "$1-$2-$3").str.replace(r"^(\S{10})T", "$1 ")
    parsed = [pl.lit(texts).str.to_datetime(form, time_unit="us", strict=False) for form in _FORMATS]
    zoned = pl.lit(texts).str.to_datetime(_FORMAT_WITH_ZONE, time_unit="us", time_zone="UTC", strict=False)
    return pl.select(pl.coalesce(*parsed, zoned.dt.replace_time_zone(None))).to_series()
