"""Logs and catalogues of many formats into `Interactions`, with a report of every choice made on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from distilrec.config import parse
from distilrec.data.clean import CleanLog, clean_log, id_text
from distilrec.data.columns import Role, check_given, map_columns
from distilrec.data.folder import choose_files
from distilrec.data.formats import read_file
from distilrec.data.frames import Frame, is_frame, read_frame
from distilrec.data.interactions import Interactions, build_interactions
from distilrec.data.problems import Cleaning, Problem
from distilrec.data.tables import Table
from distilrec.errors import DataError

Source = str | Path | Frame
_ROLES: tuple[Role, ...] = ("log", "catalogue", "users")


@dataclass
class ReadReport:
    """What was read, and every choice that was made."""

    files: dict[str, str] = field(default_factory=dict)  # log, catalogue, users
    formats: dict[str, str] = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)  # of each file: own name to canonical name
    rows_read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # why, and how many rows
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report for a person."""
        said = []
        for role, file in self.files.items():
            columns = ", ".join(f"{own} -> {name}" for own, name in self.columns[role].items() if own != name)
            said.append(f"{role}: {file} ({self.formats[role]}){'; ' + columns if columns else ''}")
        said.append(f"rows read: {self.rows_read:,}")
        said += [f"left out: {count:,} {why}" for why, count in self.dropped.items()]
        return said + self.notes


@dataclass(frozen=True)
class Gathered:
    """Everything of a source that can be used, and everything that is wrong with it."""

    log: CleanLog
    log_table: Table
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    problems: tuple[Problem, ...]
    report: ReadReport

    def build(self, *, keep_unused_items: bool) -> Interactions:
        """Number users and items."""
        return build_interactions(
            self.log.events, items=self.items, users=self.users, keep_unused_items=keep_unused_items
        )


def read(
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
) -> tuple[Interactions, ReadReport]:
    """Read a log, with its catalogue and table of users where there are any.

    `source` is a file, a frame, or a folder, in which the log, catalogue and users are recognised; `items` and
    `users` (a path, also one inside the folder, or a frame) win over what was recognised. `columns` says the
    file's own name of a canonical column, as in `{"user_id": "who"}`. The last five are the fields of `Cleaning`,
    spelt out here because they are what the messages tell people to write.
    """
    choices = {
        "missing_ids": missing_ids,
        "mixed_ids": mixed_ids,
        "bad_times": bad_times,
        "bad_weights": bad_weights,
    }
    cleaning = parse(Cleaning, {**choices, "keep_unused_items": keep_unused_items})
    gathered = gather(source, items=items, users=users, columns=columns, separator=separator, cleaning=cleaning)
    refused = [problem.text() for problem in gathered.problems if problem.severity == "error"]
    if gathered.log.events.is_empty() and not refused:
        refused = [f"{gathered.log_table.source}: no row is left ({_counts(gathered.report.dropped)})"]
    if refused:
        raise DataError("\n".join(refused))
    return gathered.build(keep_unused_items=keep_unused_items), gathered.report


def _counts(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{why}: {count:,}" for why, count in dropped.items())


def gather(
    source: Source,
    *,
    items: Source | None,
    users: Source | None,
    columns: Mapping[str, str] | None,
    separator: str | None,
    cleaning: Cleaning,
) -> Gathered:
    """Read and clean all there is; problems with single rows are collected, not raised."""
    tables, notes = _tables(source, items, users, columns, separator)
    check_given(columns, {table.source: table.frame.columns for table in tables.values()})
    maps = {
        role: map_columns(table.frame.columns, role, where=table.source, given=columns)
        for role, table in tables.items()
    }
    log = clean_log(tables["log"], maps["log"], cleaning)
    report = _report(tables, maps, log, notes)
    problems = list(log.problems)
    attributes = {role: _attributes(tables[role], role, maps[role], problems) for role in _ROLES[1:] if role in tables}
    catalogue = attributes.get("catalogue")
    if catalogue is None:
        catalogue = _titles_in_log(tables["log"], log, report)
    else:
        _compare(log, catalogue, cleaning, report, problems, tables["catalogue"].source)
    return Gathered(log, tables["log"], catalogue, attributes.get("users"), tuple(problems), report)


def _tables(
    source: Source,
    items: Source | None,
    users: Source | None,
    columns: Mapping[str, str] | None,
    separator: str | None,
) -> tuple[dict[Role, Table], tuple[str, ...]]:
    given: dict[Role, Source] = {}
    if items is not None:
        given["catalogue"] = items
    if users is not None:
        given["users"] = users
    notes: tuple[str, ...] = ()
    folder = Path(source) if not is_frame(source) and Path(source).is_dir() else None
    if folder is None:
        given["log"] = source
    else:
        files = choose_files(folder, columns=columns, known=given)
        recognised = {"log": files.log, "catalogue": files.catalogue, "users": files.users}
        for role in _ROLES:
            if role not in given and (file := recognised[role]) is not None:
                given[role] = file
        notes = files.notes
    read_order = [role for role in _ROLES if role in given]
    return {role: _table(given[role], role, folder, separator) for role in read_order}, notes


def _table(source: Source, role: Role, folder: Path | None, separator: str | None) -> Table:
    if is_frame(source):
        return read_frame(source, role)
    path = Path(source)
    if folder is not None and not path.is_absolute() and (folder / path).exists():
        path = folder / path
    return read_file(path, role, separator=separator if role == "log" else None)


def _report(
    tables: Mapping[Role, Table], maps: Mapping[Role, dict[str, str]], log: CleanLog, notes: tuple[str, ...]
) -> ReadReport:
    said = [note for table in tables.values() for note in table.notes]
    return ReadReport(
        files={role: table.source for role, table in tables.items()},
        formats={role: table.format for role, table in tables.items()},
        columns={role: {own: name for name, own in found.items()} for role, found in maps.items()},
        rows_read=tables["log"].frame.height,
        dropped=dict(log.dropped),
        notes=[*notes, *said, *log.notes],
    )


def _attributes(table: Table, role: Role, columns: Mapping[str, str], problems: list[Problem]) -> pl.DataFrame:
    """The table with its id as text in the first column, one row an id."""
    key = "item_id" if role == "catalogue" else "user_id"
    own = columns[key]
    ids = id_text(table, own, []).alias(key)
    frame = table.frame.drop({own, key} & set(table.frame.columns))
    if "title" in columns:
        title = table.frame[columns["title"]].alias("title")
        frame = pl.DataFrame([title, *frame.drop("title", strict=False)])
    frame = frame.insert_column(0, ids)
    _warn(problems, table, f"rows without {own}", ids.null_count(), "Left out")
    frame = frame.filter(ids.is_not_null())
    _warn(
        problems,
        table,
        f"rows whose {own} came before",
        frame.height - frame[key].n_unique(),
        "The first is kept",
    )
    return frame.unique(key, keep="first", maintain_order=True)


def _warn(problems: list[Problem], table: Table, what: str, count: int, action: str) -> None:
    if count:
        problems.append(Problem("warning", what, count, action, table.source))


def _titles_in_log(table: Table, log: CleanLog, report: ReadReport) -> pl.DataFrame | None:
    """Without a catalogue, an item's title is the text that the log has for it most often."""
    own = next((own for own, name in report.columns["log"].items() if name == "title"), None)
    if own is None:
        return None
    report.notes.append(f"titles of items come from the log's column {own}: the most frequent text of each item")
    titles = table.frame[own].gather(log.kept).cast(pl.String).alias("title")
    counted = pl.DataFrame([log.events["item_id"], titles]).drop_nulls().group_by("item_id", "title").len()
    counted = counted.sort("item_id", "len", "title", descending=[False, True, False])
    return counted.unique("item_id", keep="first", maintain_order=True).drop("len")


def _compare(
    log: CleanLog,
    catalogue: pl.DataFrame,
    cleaning: Cleaning,
    report: ReadReport,
    problems: list[Problem],
    source: str,
) -> None:
    used = log.events["item_id"].unique()
    unused = catalogue.height - int(catalogue["item_id"].is_in(used.implode()).sum())
    if unused and not cleaning.keep_unused_items:
        report.dropped["items of the catalogue that nobody used"] = unused
    lacking = log.events.filter(~pl.col("item_id").is_in(catalogue["item_id"].implode()))
    if lacking.is_empty():
        return
    ids = lacking["item_id"].unique(maintain_order=True)
    report.notes.append(
        f"the catalogue lacks {len(ids):,} items of the log ({lacking.height:,} rows); kept without text"
    )
    what = f"items of the log that the catalogue lacks (in {lacking.height:,} rows)"
    examples = tuple(f"item {value!r}" for value in ids[:3])
    problems.append(Problem("warning", what, len(ids), "Kept, without text or attributes", source, examples))
