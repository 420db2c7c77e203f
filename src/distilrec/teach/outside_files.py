"""The two forms of a file of ranked lists, one row a list or one row a listed item, read as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from distilrec.data.formats import read_file
from distilrec.errors import KnowledgeError

FORMATS = {".parquet", ".pq", ".jsonl", ".ndjson", ".json"}
_EXPECTED = (
    "expected user_id or history, and either item_id with score or rank (one row an item), "
    "or item_ids with or without scores (one row a list)"
)


@dataclass(frozen=True, eq=False)
class Listed:
    """A file's lists: whom each is for, and what it lists."""

    path: Path
    keys: pl.DataFrame  # one row a list: user_id or history, and after where the file has it
    rows: pl.DataFrame  # one row a listed item: ranking (the list's row in keys), item_id, score and/or rank
    n_rows: int  # of the file
    unused: tuple[str, ...]  # columns that mean nothing here

    def name(self, ranking: int) -> str:
        """A list, for messages."""
        key = self.keys.row(ranking, named=True)
        whose = f"user {key['user_id']!r}" if "user_id" in key else f"the history {key['history']}"
        after = "" if key.get("after") is None else f" after {key['after']} events"
        return f"{self.path}: {whose}{after}"

    def name_row(self, row: int) -> str:
        """A listed item, for messages."""
        return f"{self.name(self.rows['ranking'][row])}, item {self.rows['item_id'][row]!r}"


def read_listed(path: Path) -> Listed:
    """Read either form.

    Raises:
        DataError: the file is missing, empty, or not of its format.
        KnowledgeError: its columns are not those of one form, or hold something else than they should.
    """
    if path.suffix not in FORMATS:
        raise KnowledgeError(
            f"{path} is neither Parquet nor JSON lines; its name must end in {', '.join(sorted(FORMATS))}"
        )
    frame = read_file(path, "log").frame
    _check_columns(path, frame.columns)
    who = [name for name in ("user_id", "history", "after") if name in frame.columns]
    what = [name for name in ("item_id", "item_ids", "score", "scores", "rank") if name in frame.columns]
    frame = _checked(path, frame, who, what)
    keys, rows = _wide(path, frame, who) if "item_ids" in frame.columns else _long(frame, who, what)
    rows = rows.with_columns(_ids(path, rows["item_id"], "item_ids" if "item_ids" in what else "item_id"))
    unused = tuple(name for name in frame.columns if name not in {*who, *what})
    return Listed(path, keys, rows, frame.height, unused)


def _check_columns(path: Path, columns: list[str]) -> None:
    def refuse(what: str) -> None:
        raise KnowledgeError(f"{path} {what}; {_EXPECTED}. Its columns are {', '.join(columns)}")

    found = set(columns)
    for pair in (("user_id", "history"), ("item_id", "item_ids"), ("history", "after")):
        if found.issuperset(pair):
            refuse(f"has both {pair[0]} and {pair[1]}")
    if not found & {"user_id", "history"}:
        refuse("does not say whom its lists are for")
    if not found & {"item_id", "item_ids"}:
        refuse("does not say which items are listed")
    strange = {"score", "rank"} if "item_ids" in found else {"scores"}
    if found & strange:
        refuse(f"mixes two forms: {'item_ids' if 'item_ids' in found else 'item_id'} and {min(found & strange)}")
    if "item_id" in found and not found & {"score", "rank"}:
        refuse("has neither score nor rank")


def _checked(path: Path, frame: pl.DataFrame, who: Sequence[str], what: Sequence[str]) -> pl.DataFrame:
    """Types that can be used, and no row without a user or items."""
    for name in {"history", "item_ids", "scores"} & {*who, *what}:
        frame = frame.with_columns(_lists(path, frame[name]))
    for name in {"user_id", "history", "item_id", "item_ids"} & {*who, *what}:
        if frame[name].null_count():
            row = int(frame[name].is_null().arg_max() or 0)
            raise KnowledgeError(f"{path}, row {row} (from 0) has no {name}; every row needs one. Leave such rows out")
    if "user_id" in who:
        frame = frame.with_columns(_ids(path, frame["user_id"], "user_id"))
    if "history" in who:
        _check_histories(path, frame["history"])
    if "after" in who:
        frame = frame.with_columns(_counts(path, frame["after"]))
    return frame


def _lists(path: Path, column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Array):
        return column.arr.to_list()
    if not isinstance(column.dtype, pl.List):
        raise KnowledgeError(f"{path}: {column.name} holds {column.dtype}; expected a list in each row")
    return column


def _ids(path: Path, column: pl.Series, name: str) -> pl.Series:
    """Ids as numbers or text; anything else is no id."""
    kind = column.dtype
    if isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if not (kind.is_integer() or kind.is_float() or kind in (pl.String, pl.Null)):
        raise KnowledgeError(f"{path}: {name} holds {kind}; expected ids, which are numbers or text")
    if column.null_count():
        raise KnowledgeError(f"{path}: {name} has {column.null_count():,} empty ids; leave them out")
    return column


def _check_histories(path: Path, column: pl.Series) -> None:
    if (column.list.len() == 0).any():
        row = int((column.list.len() == 0).arg_max() or 0)
        raise KnowledgeError(
            f"{path}, row {row} (from 0) has an empty history; a training position has at least one item"
        )
    _ids(path, column.explode(), "history")


def _counts(path: Path, column: pl.Series) -> pl.Series:
    kind, values = column.dtype, column.drop_nulls()
    if not (kind.is_numeric() or kind == pl.Null):
        raise KnowledgeError(f"{path}: after holds {kind}; expected how many of the user's events a list has seen")
    strange = values.filter((values < 0) | (values % 1 != 0)) if len(values) else values
    if len(strange):
        raise KnowledgeError(f"{path}: after is {strange[0]!r} in a row; expected a whole number of events")
    return column.cast(pl.Int64)


def _wide(path: Path, frame: pl.DataFrame, who: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row a list; without scores, an item's place is its rank."""
    lengths = frame["item_ids"].list.len()
    name, value = "rank", pl.int_ranges(0, pl.col("item_ids").list.len())
    if "scores" in frame.columns:
        scores = frame["scores"].list.len().fill_null(0)
        if (scores != lengths).any():
            row = int((scores != lengths).arg_max() or 0)
            raise KnowledgeError(
                f"{path}, row {row} (from 0) has {lengths[row]} item_ids and {scores[row]} scores; "
                "expected a score for each item"
            )
        name, value = "score", pl.col("scores")
    lists = frame.select(
        pl.int_range(pl.len()).alias("ranking"), pl.col("item_ids").alias("item_id"), value.alias(name)
    )
    return frame.select(who), lists.filter(pl.col("item_id").list.len() > 0).explode("item_id", name)


def _long(frame: pl.DataFrame, who: Sequence[str], what: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row a listed item; those of one user and place, or of one history, are one list."""
    if "history" in who:  # a list can not be joined by, so its text is
        frame = frame.with_columns(_key=pl.col("history").cast(pl.List(pl.String)).list.join("\n"))
    by = ["_key"] if "history" in who else who
    keys = frame.select(list(dict.fromkeys([*who, *by]))).unique(by, keep="first", maintain_order=True)
    numbered = keys.with_row_index("ranking").with_columns(pl.col("ranking").cast(pl.Int64))
    rows = frame.join(numbered.select("ranking", *by), on=by, how="left", nulls_equal=True, maintain_order="left")
    return keys.select(who), rows.select("ranking", *what)
