"""What happened: events of users and items as row numbers, with the tables that turn them back into ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from distilrec.errors import ArtifactError, DataError
from distilrec.files import atomic_path, read_json, sha256_of_arrays, sha256_of_value, write_json
from distilrec.ids import IdIndex
from distilrec.types import IntArray, Ragged

Ids = Sequence[int | str] | IntArray | pl.Series
_VERSION = 1
_EVENTS = {"user": pl.Int64, "item": pl.Int64, "timestamp": pl.Int64, "weight": pl.Float32}
_TABLES = ("events", "users", "items")


@dataclass(frozen=True, eq=False)
class Interactions:
    """A log and its catalogue.

    Row i of `users` is user i, row i of `items` is item i; both are ordered by id, their first column. Events
    are sorted by user, then time; ties, and events without a time, keep the order of the file.
    """

    events: pl.DataFrame  # user, item, timestamp (unix seconds or null), weight
    users: pl.DataFrame  # user_id, then attributes
    items: pl.DataFrame  # item_id, then text and attributes

    @property
    def n_users(self) -> int:
        """How many users there are."""
        return self.users.height

    @property
    def n_items(self) -> int:
        """How many items there are, N."""
        return self.items.height

    def sequences(self) -> Ragged:
        """The items of every user, oldest first."""
        counts = np.bincount(self.events["user"].to_numpy(), minlength=self.n_users)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts, dtype=np.int64)])
        return Ragged(self.events["item"].to_numpy(writable=True), offsets)

    def item_rows(self, ids: Ids) -> IntArray:
        """Row numbers of item ids, -1 for an unknown one; 50 and "50" are the same id."""
        return self._item_index.rows(ids)

    def user_rows(self, ids: Ids) -> IntArray:
        """Row numbers of user ids, -1 for an unknown one; 50 and "50" are the same id."""
        return self._user_index.rows(ids)

    def digest(self) -> str:
        """SHA-256 of everything: events, users and items."""
        tables = {name: _table_digest(getattr(self, name)) for name in _TABLES}
        return sha256_of_value(tables)

    def catalogue_digest(self) -> str:
        """SHA-256 of the items and their attributes."""
        return _table_digest(self.items)

    def item_ids_digest(self) -> str:
        """SHA-256 of which item has which row: what anything that speaks of rows must agree on."""
        return _table_digest(self.items.select("item_id"))

    def with_events(self, events: pl.DataFrame) -> Interactions:
        """These events alone, with the users and items that they name, numbered anew."""
        users, user_of = _used(self.users, events["user"])
        items, item_of = _used(self.items, events["item"])
        renumbered = events.with_columns(
            user=pl.Series(user_of[events["user"].to_numpy()]),
            item=pl.Series(item_of[events["item"].to_numpy()]),
        )
        return Interactions(renumbered, users, items)

    def save(self, folder: Path) -> None:
        """Write three Parquet files and `data.json`, whole or not at all."""
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            for name in _TABLES:
                getattr(self, name).write_parquet(temporary / f"{name}.parquet")
            digests = {"digest": self.digest(), "catalogue_digest": self.catalogue_digest()}
            write_json(temporary / "data.json", {"version": _VERSION, **digests})

    @classmethod
    def load(cls, folder: Path) -> Interactions:
        """Read what `save` wrote; a folder that is incomplete or was changed is refused."""
        again = "Read the data again"
        try:
            about = read_json(folder / "data.json")
            tables = [pl.read_parquet(folder / f"{name}.parquet") for name in _TABLES]
        except (ArtifactError, FileNotFoundError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{folder} is not a whole folder of saved interactions: {error}. {again}") from None
        if about.get("version") != _VERSION:
            found = about.get("version")
            raise DataError(f"{folder} has version {found}; this DistilRec reads version {_VERSION}. {again}")
        loaded = cls(*tables)
        if dict(tables[0].schema) != _EVENTS or loaded.digest() != about.get("digest"):
            raise DataError(f"{folder} was changed since it was saved: its content does not match data.json. {again}")
        return loaded

    @cached_property
    def _item_index(self) -> IdIndex:
        return IdIndex(self.items["item_id"])

    @cached_property
    def _user_index(self) -> IdIndex:
        return IdIndex(self.users["user_id"])


def build_interactions(
    log: pl.DataFrame,
    *,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
    keep_unused_items: bool = False,
) -> Interactions:
    """Number the users and items of a log.

    `log` has `user_id` and `item_id` as text, and may have `timestamp`, `weight` and `order` (what to sort a
    user's events by, where it is not the time). `items` and `users` have the id as text in their first column; an
    item of the log that `items` lacks gets null attributes.
    """
    extra = items["item_id"] if items is not None and keep_unused_items else log["item_id"][:0]
    user_ids, item_ids = _numbered(log["user_id"]), _numbered(pl.concat([log["item_id"], extra]))
    events = log.join(user_ids, on="user_id", maintain_order="left").rename({"row": "user"})
    events = events.join(item_ids, on="item_id", maintain_order="left").rename({"row": "item"})
    return Interactions(_ordered(events), _attributed(user_ids, users), _attributed(item_ids, items))


def _numbered(ids: pl.Series) -> pl.DataFrame:
    """The different ids in order, as text, each with its row number."""
    unique = ids.unique()
    whole = _whole_numbers(unique)
    ordered = unique.sort() if whole is None else whole.sort().cast(pl.String)
    return pl.DataFrame([ordered, pl.int_range(len(ordered), eager=True).alias("row")])


def _whole_numbers(ids: pl.Series) -> pl.Series | None:
    """The ids as numbers, where every one is written as a number would be: "0054890" is not."""
    numbers = ids.cast(pl.Int64, strict=False)
    return numbers if (numbers.cast(pl.String) == ids).fill_null(False).all() else None


def _ordered(events: pl.DataFrame) -> pl.DataFrame:
    present = set(events.columns)
    defaults = {"timestamp": pl.lit(None, dtype=pl.Int64), "weight": pl.lit(1.0, dtype=pl.Float32)}
    events = events.with_columns(**{name: value for name, value in defaults.items() if name not in present})
    key = pl.col("order" if "order" in present else "timestamp")
    if 0 < events.select(key.null_count()).item() < events.height:
        key = key.forward_fill().backward_fill().over("user")  # keep its place in the file
    events = events.with_columns(_key=key).sort("user", "_key", maintain_order=True)
    return events.select(pl.col(name).cast(kind) for name, kind in _EVENTS.items())


def _attributed(ids: pl.DataFrame, attributes: pl.DataFrame | None) -> pl.DataFrame:
    table = ids.drop("row")
    name = table.columns[0]
    if attributes is not None:
        table = table.join(attributes, on=name, how="left", maintain_order="left")
    numbers = _whole_numbers(table[name])
    return table if numbers is None else table.with_columns(numbers)


def _used(table: pl.DataFrame, rows: pl.Series) -> tuple[pl.DataFrame, IntArray]:
    """The rows in use, and the new number of each old one."""
    used = np.zeros(table.height, dtype=bool)
    used[rows.to_numpy()] = True
    return table.filter(pl.Series(used)), np.cumsum(used, dtype=np.int64) - 1


def _table_digest(table: pl.DataFrame) -> str:
    arrays: dict[str, NDArray[np.generic]] = {}
    for column in table:
        arrays[f"{column.name}/null"] = column.is_null().to_numpy()
        if column.dtype.is_numeric():
            arrays[column.name] = column.fill_null(0).to_numpy()
        else:
            text = json.dumps([str(column.dtype), column.to_list()], default=str)
            arrays[column.name] = np.frombuffer(text.encode(), dtype=np.uint8)
    order = np.frombuffer("\n".join(table.columns).encode(), dtype=np.uint8)
    return sha256_of_arrays({**arrays, "/columns": order})
