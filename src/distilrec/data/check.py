"""What a log holds, what is wrong with it, and what would be done about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import polars as pl

from distilrec.config import parse
from distilrec.data.interactions import Interactions
from distilrec.data.problems import Cleaning, Problem
from distilrec.data.read import Gathered, ReadReport, Source, gather
from distilrec.errors import DataError

_EXAMPLES = 3


@dataclass(frozen=True)
class CheckReport:
    """What `check` found; the counts are of the rows that can be used."""

    problems: tuple[Problem, ...]
    read: ReadReport | None = None  # none when nothing could be read
    rows: int = 0
    users: int = 0
    items: int = 0
    period: tuple[str, str] | None = None  # first and last day
    density: float = 0.0  # events for each pair of a user and an item
    share_with_text: float = 0.0  # of items

    @property
    def exit_code(self) -> int:
        """0 usable as it is, warnings or not; 1 usable with the options named; 2 not usable."""
        errors = [problem for problem in self.problems if problem.severity == "error"]
        return 0 if not errors else 1 if all(problem.option for problem in errors) else 2

    def lines(self) -> list[str]:
        """The report for a person."""
        said = self.read.lines() if self.read else []
        if self.rows:
            said += self._summary()
        said += [f"{problem.severity}: {problem.text()}" for problem in self.problems]
        return [*said, self._verdict()]

    def _summary(self) -> list[str]:
        period = f"{self.period[0]} to {self.period[1]}" if self.period else "no times"
        return [
            f"usable: {self.rows:,} rows, {self.users:,} users, {self.items:,} items",
            f"period: {period}; density {self.density:.3%}; items with text {self.share_with_text:.1%}",
        ]

    def _verdict(self) -> str:
        options = ", ".join(dict.fromkeys(problem.option for problem in self.problems if problem.option))
        return (
            "Usable as it is.",
            f"Usable with {options}.",
            "Not usable before the errors above are corrected.",
        )[self.exit_code]


def check(
    source: Source,
    *,
    items: Source | None = None,
    users: Source | None = None,
    columns: Mapping[str, str] | None = None,
    separator: str | None = None,
    missing_ids: Literal["refuse", "drop"] = "refuse",
    mixed_ids: Literal["refuse", "text"] = "refuse",
    bad_times: Literal["refuse", "drop", "blank"] = "refuse",
    bad_weights: Literal["refuse", "drop"] = "refuse",
    keep_unused_items: bool = False,
) -> CheckReport:
    """Look at a log as `read` would with the same arguments, and go on where `read` stops.

    Bad content never raises: it is a problem in the report.
    """
    choices = {"missing_ids": missing_ids, "mixed_ids": mixed_ids, "bad_times": bad_times, "bad_weights": bad_weights}
    cleaning = parse(Cleaning, {**choices, "keep_unused_items": keep_unused_items})
    try:
        found = gather(source, items=items, users=users, columns=columns, separator=separator, cleaning=cleaning)
    except DataError as error:
        return CheckReport((Problem("error", str(error)),))
    if found.log.events.is_empty():
        nothing = Problem("error", f"{found.log_table.source}: no row can be used")
        return CheckReport((*found.problems, nothing), found.report)
    data = found.build(keep_unused_items=cleaning.keep_unused_items)
    problems = (*found.problems, *_duplicates(found), *_odd_weights(found), *_single_events(data))
    return CheckReport(
        problems,
        found.report,
        data.events.height,
        data.n_users,
        data.n_items,
        _period(data.events["timestamp"]),
        data.events.height / (data.n_users * data.n_items),
        _share_with_text(data.items),
    )


def _duplicates(found: Gathered) -> list[Problem]:
    seen_before = ~found.log.events.select(pl.struct("user_id", "item_id", "timestamp").is_first_distinct()).to_series()
    timed = "timestamp" in found.report.columns["log"].values()
    what = f"rows that repeat the user{', item and time' if timed else ' and item'} of an earlier one"
    action = "Kept; the filter deduplicate=true keeps the first event of each user and item"
    return _rows(found, seen_before, what, action)


def _odd_weights(found: Gathered) -> list[Problem]:
    own = next((own for own, name in found.report.columns["log"].items() if name == "weight"), "weight")
    negative = found.log.events["weight"] < 0
    zero = found.log.events["weight"] == 0
    action = "Kept; the filter min_rating leaves out rows below a number"
    return [
        *_rows(found, negative, f"rows with {own} below 0 (cancellations?)", action),
        *_rows(found, zero, f"rows with {own} equal to 0", action),
    ]


def _rows(found: Gathered, rows: pl.Series, what: str, action: str) -> list[Problem]:
    if not rows.any():
        return []
    numbers = found.log.kept.filter(rows)
    examples = tuple(found.log_table.place(int(row)) for row in numbers[:_EXAMPLES])
    return [Problem("warning", what, len(numbers), action, found.log_table.source, examples)]


def _single_events(data: Interactions) -> list[Problem]:
    counts = data.events.group_by("user", maintain_order=True).len()
    single = counts.filter(pl.col("len") == 1)["user"]
    if single.is_empty():
        return []
    examples = tuple(f"user {data.users['user_id'][int(row)]!r}" for row in single[:_EXAMPLES])
    action = "Kept for training; nothing of theirs can be held out, so they are never asked about"
    return [Problem("warning", "users with one event", len(single), action, examples=examples)]


def _period(times: pl.Series) -> tuple[str, str] | None:
    if times.null_count() == len(times):
        return None
    first, last = (datetime.fromtimestamp(value, UTC).date() for value in times.drop_nulls().sort()[[0, -1]])
    return first.isoformat(), last.isoformat()


def _share_with_text(items: pl.DataFrame) -> float:
    texts = ["title"] if "title" in items.columns else [c for c in items.columns[1:] if items[c].dtype == pl.String]
    if not texts:
        return 0.0
    has_text = items.select(pl.any_horizontal(pl.col(texts).fill_null("").str.strip_chars() != "")).to_series()
    return int(has_text.sum()) / items.height
