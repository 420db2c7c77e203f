"""The columns of a log into ids, times and weights, with everything that is wrong collected on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from distilrec.data.problems import Cleaning, Problem
from distilrec.data.tables import NOTHING, Table
from distilrec.data.times import parse_times
from distilrec.errors import DataError

_EXAMPLES = 3
_DROP = 'leave these rows out with {option}="drop"'
_DROP_OR_BLANK = _DROP + ' or keep them without a time with {option}="blank"'


@dataclass(frozen=True)
class CleanLog:
    """The rows that can be used, and what was found."""

    events: pl.DataFrame  # user_id, item_id, timestamp, weight, order
    kept: pl.Series  # which rows of the table these are
    problems: tuple[Problem, ...]
    dropped: Mapping[str, int]
    notes: tuple[str, ...]


def clean_log(table: Table, columns: Mapping[str, str], cleaning: Cleaning) -> CleanLog:
    """Parse the mapped columns of a log.

    Rows that `cleaning` refuses are left out too, beside a problem of severity "error": reading stops at it,
    checking goes on.
    """
    work = _Work(table, columns, cleaning)
    user, item = work.ids("user_id"), work.ids("item_id")
    work.drop_blank_lines()
    work.drop_missing_ids(user, item)
    timestamp, order = work.times()
    weight = work.weights()
    columns_of_events = [
        user,
        item,
        timestamp.alias("timestamp"),
        weight.alias("weight"),
        order.alias("order"),
    ]
    events = pl.DataFrame(columns_of_events).filter(~work.bad)
    return CleanLog(events, (~work.bad).arg_true(), tuple(work.problems), work.dropped, tuple(work.notes))


def id_text(table: Table, column: str, notes: list[str]) -> pl.Series:
    """Ids as text without blanks around them, null where there is none."""
    values = table.frame[column]
    if values.dtype.is_float():
        values = _whole(table, values.fill_nan(None))
        notes.append(f"{column} holds whole numbers with a decimal point; read as integers")
    if values.dtype.is_nested() or values.dtype == pl.Object:
        raise DataError(f"{table.source}: {column} holds {values.dtype}; ids must be whole numbers or text")
    text = values.cast(pl.String).str.strip_chars()
    return text.set(text.is_in(NOTHING), None)


def _whole(table: Table, values: pl.Series) -> pl.Series:
    fractions = values.is_not_null() & (values != values.floor())
    if not fractions.any():
        return values.cast(pl.Int64)
    row = int(fractions.arg_true()[0])
    raise DataError(
        f"{table.source}, {table.place(row)}: {values.name} is {values[row]}; ids must be whole numbers "
        "or text. Correct it, or choose another column with columns={...}"
    )


class _Work:
    """A log while it is being cleaned: which rows are bad so far, and what was said about them."""

    def __init__(self, table: Table, columns: Mapping[str, str], cleaning: Cleaning) -> None:
        self.table, self.columns, self.cleaning = table, columns, cleaning
        self.bad = self._everywhere(value=False)
        self.problems: list[Problem] = []
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = []

    def ids(self, name: str) -> pl.Series:
        own = self.columns[name]
        if example := self.table.mixed.get(own):
            handled = self.cleaning.mixed_ids == "text"
            action = (
                "All are read as text" if handled else 'Make them one kind, or read all as text with {option}="text"'
            )
            self._problem(
                f"{own} mixes numbers and texts",
                (example,),
                option="mixed_ids",
                action=action,
                handled=handled,
            )
        return id_text(self.table, own, self.notes).alias(name)

    def drop_blank_lines(self) -> None:
        blank = self.table.frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        if blank.any():
            self.dropped["blank lines"] = int(blank.sum())
        self.bad = self.bad | blank

    def drop_missing_ids(self, user: pl.Series, item: pl.Series) -> None:
        def describe(row: int) -> str:
            name = self.columns["user_id" if user[row] is None else "item_id"]
            return f"{self.table.place(row)} has no {name}"

        missing = user.is_null() | item.is_null()
        self._rows("rows without a user or an item", missing, describe, "missing_ids", self.cleaning.missing_ids)

    def times(self) -> tuple[pl.Series, pl.Series]:
        """Whole seconds, and what to order a user's events by."""
        nothing = pl.repeat(None, len(self.bad), dtype=pl.Float64, eager=True)
        if "timestamp" not in self.columns:
            return nothing.cast(pl.Int64), self._order() if "order" in self.columns else nothing
        own = self.columns["timestamp"]
        parsed = parse_times(self.table.frame[own])
        if parsed.note:
            self.notes.append(f"{own} is {parsed.note}")
        what = (
            f"times in {own} that cannot be "
            "(expected unix time, or ISO dates as in 2024-05-31 13:45:00, from 1970 to 2099)"
        )
        self._rows(what, parsed.bad, self._shown(own), "bad_times", self.cleaning.bad_times, _DROP_OR_BLANK)
        missing = int((parsed.seconds.is_null() & ~parsed.bad & ~self.bad).sum())
        if missing:
            self._warn(f"rows without {own}", missing, "Kept without a time, after the event before them in the file")
        return parsed.seconds.floor().cast(pl.Int64), parsed.seconds

    def weights(self) -> pl.Series:
        if "weight" not in self.columns:
            return pl.repeat(1.0, len(self.bad), dtype=pl.Float32, eager=True)
        own = self.columns["weight"]
        values, missing = _numbers(self.table.frame[own])
        bad = ~values.is_finite().fill_null(False) & ~missing
        self._rows(
            f"text in the number column {own}",
            bad,
            self._shown(own),
            "bad_weights",
            self.cleaning.bad_weights,
        )
        if (missing & ~self.bad).any():
            self._warn(f"rows without {own}", int((missing & ~self.bad).sum()), "Read as 1")
        return values.set(missing, 1.0).cast(pl.Float32)

    def _order(self) -> pl.Series:
        own = self.columns["order"]
        values, missing = _numbers(self.table.frame[own])
        wrong = values.is_null() & ~missing & ~self.bad
        if wrong.any():
            raise DataError(
                f"{self.table.source}, {self._shown(own)(int(wrong.arg_true()[0]))}; it is read as the order of "
                "a user's events, so a number was expected. Correct it, or rename the column"
            )
        self.notes.append(f"{own} gives the order of each user's events")
        return values

    def _rows(
        self,
        what: str,
        rows: pl.Series,
        describe: Callable[[int], str],
        option: str,
        choice: str,
        ways_out: str = _DROP,
    ) -> None:
        rows = rows & ~self.bad
        if not rows.any():
            return
        count, first = int(rows.sum()), tuple(describe(int(row)) for row in rows.arg_true()[:_EXAMPLES])
        done = "Kept without a time" if choice == "blank" else "Left out"
        action = f"Correct them, or {ways_out}" if choice == "refuse" else f'{done}, as {{option}}="{choice}" says'
        self._problem(what, first, count, option=option, action=action, handled=choice != "refuse")
        if choice != "blank":
            self.bad = self.bad | rows
            self.dropped[what.partition(" (")[0]] = count

    def _problem(
        self, what: str, first: tuple[str, ...], count: int = 1, *, option: str, action: str, handled: bool
    ) -> None:
        said = action.format(option=option)
        source = self.table.source
        if handled:
            self.problems.append(Problem("warning", what, count, said, source, first))
            return
        way_out = f"{option}={said.partition(f'{option}=')[2].split()[0]}"
        self.problems.append(Problem("error", what, count, said, source, first, way_out))

    def _warn(self, what: str, count: int, action: str) -> None:
        self.problems.append(Problem("warning", what, count, action, self.table.source))

    def _shown(self, own: str) -> Callable[[int], str]:
        return lambda row: f"{self.table.place(row)}: {own} is {self.table.frame[own][row]!r}"

    def _everywhere(self, *, value: bool) -> pl.Series:
        return pl.repeat(value, self.table.frame.height, dtype=pl.Boolean, eager=True)


def _numbers(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Numbers, null where there is none, and which rows say nothing at all."""
    if values.dtype.is_numeric():
        values = values.cast(pl.Float64).fill_nan(None)
        return values, values.is_null()
    text = values.cast(pl.String, strict=False).str.strip_chars()
    missing = text.is_null() | text.is_in(NOTHING).fill_null(True)
    return text.cast(pl.Float64, strict=False), missing
