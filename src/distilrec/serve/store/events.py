"""Events as they are kept, and what is asked of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from distilrec.errors import StorageError
from distilrec.serve.model import Id
from distilrec.serve.store.connect import WRITES, open_engine
from distilrec.serve.store.schema import events, migrate

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class StoreUnavailableError(StorageError):
    """The store cannot be reached, read or written; what was asked of it was not done."""


@dataclass(frozen=True)
class StoredEvent:
    """A user chose an item."""

    event_id: str
    user_id: Id
    item_id: Id
    happened_at: float | None = None  # seconds since 1970, as the client says


@dataclass(frozen=True)
class KnownUser:
    """What the store holds of a user."""

    events: int
    newest: list[StoredEvent]  # oldest first


@dataclass(frozen=True)
class Forgotten:
    """What a deletion did: rows deleted, and rows that a new look found afterwards."""

    deleted: int
    left: int


class Store:
    """A database of events. Threads may share one; what returns without an error is on disk."""

    def __init__(self, address: str) -> None:
        """Take an address; the database is connected to when it is first needed."""
        self._engine = open_engine(address)
        self._prepared, self._lock = False, threading.Lock()

    def prepare(self) -> None:
        """Connect, and bring the tables to this version.

        Raises:
            StoreUnavailableError: it does not answer.
            StorageError: it was written by a newer distilrec.
        """
        with self._lock:
            if not self._prepared:
                with self._connected(writes=True) as connection:
                    migrate(connection)
                self._prepared = True

    def append(self, new: Sequence[StoredEvent]) -> set[str]:
        """Keep events that are not there yet, all or none, in this order; return the ids of those that were new."""
        now = time.time()
        rows = [
            {
                "event_id": _kept(event.event_id),
                "user_id": _kept(str(event.user_id)),
                "item_id": json.dumps(event.item_id),
                "happened_at": event.happened_at,
                "received_at": now,
            }
            for event in new
        ]
        insert = _INSERT[self._engine.dialect.name](events).on_conflict_do_nothing(index_elements=["event_id"])
        with self._ready(writes=True) as connection:
            done = connection.execute(insert.returning(events.c.event_id), rows)
            return {_as_given(event_id) for event_id in done.scalars()}

    def history(self, user_id: Id, newest: int) -> list[Id]:
        """The newest items of a user, oldest first; empty for a user without events."""
        chosen = sql.select(events.c.item_id).where(events.c.user_id == _kept(str(user_id)))
        with self._ready() as connection:
            items = connection.execute(chosen.order_by(events.c.place.desc()).limit(newest)).scalars().all()
        return [json.loads(item) for item in reversed(items)]

    def user(self, user_id: Id, newest: int) -> KnownUser:
        """How many events a user has, and the newest of them."""
        mine = events.c.user_id == _kept(str(user_id))
        with self._ready() as connection:
            count = connection.execute(sql.select(sql.func.count()).where(mine)).scalar_one()
            rows = connection.execute(
                sql.select(events).where(mine).order_by(events.c.place.desc()).limit(newest)
            ).all()
        found = [
            StoredEvent(_as_given(row.event_id), user_id, json.loads(row.item_id), row.happened_at)
            for row in reversed(rows)
        ]
        return KnownUser(int(count), found)

    def forget(self, user_id: Id) -> Forgotten:
        """Delete every event of a user, and look again; SQLite overwrites the bytes in its files too."""
        mine = events.c.user_id == _kept(str(user_id))
        with self._ready(writes=True) as connection:
            deleted = connection.execute(sql.delete(events).where(mine)).rowcount
        with self._ready() as connection:
            left = connection.execute(sql.select(sql.func.count()).where(mine)).scalar_one()
        if self._engine.dialect.name == "sqlite":
            with self._talking(), self._engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # older pages lie in the log until then
        return Forgotten(int(deleted), int(left))

    def close(self) -> None:
        """Let go of connections."""
        self._engine.dispose()

    @contextmanager
    def _ready(self, *, writes: bool = False) -> Iterator[sql.Connection]:
        self.prepare()
        with self._connected(writes=writes) as connection:
            yield connection

    @contextmanager
    def _connected(self, *, writes: bool = False) -> Iterator[sql.Connection]:
        """A transaction that is committed when the block ends well."""
        engine = self._engine.execution_options(**WRITES) if writes else self._engine
        with self._talking(), engine.begin() as connection:
            yield connection

    @contextmanager
    def _talking(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            why = str(getattr(error, "orig", None) or error).strip().splitlines()
            raise StoreUnavailableError(why[0] if why else type(error).__name__) from error


def _kept(text: str) -> str:
    """Text as it is stored: plain ASCII stays itself; NUL, which PostgreSQL refuses, becomes six characters."""
    return json.dumps(text)[1:-1]


def _as_given(kept: str) -> str:
    text: str = json.loads(f'"{kept}"')
    return text
