"""A database by its address: SQLite in a file, or PostgreSQL."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError

from distilrec.errors import MissingExtraError, SettingsError

_WAIT_SECONDS = 5
_POSTGRES = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,  # milliseconds; a host that has vanished is noticed
    "options": "-c statement_timeout=5000 -c lock_timeout=5000",
}
_EXPECTED = "expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"
WRITES = {"distilrec_writes": True}
"""Options of a connection that will write: SQLite then takes its lock at once."""


def open_engine(address: str) -> sql.Engine:
    """An engine for an address; nothing is connected yet.

    Raises:
        SettingsError: it is no address of a database that we know, or of one that keeps nothing.
    """
    try:
        url = sql.make_url(address)
    except (ArgumentError, ValueError):
        raise SettingsError(f"--store {address!r} is not an address; {_EXPECTED}") from None
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite":
        return _sqlite(url)
    if kind in ("postgresql", "postgres"):
        return _postgres(url)
    raise SettingsError(f"--store names {kind!r}; {_EXPECTED}")


def _sqlite(url: sql.URL) -> sql.Engine:
    if url.database in (None, "", ":memory:"):
        raise SettingsError("--store names a database in memory, which keeps nothing; expected sqlite:///FILE")
    folder = Path(str(url.database)).absolute().parent
    if not folder.is_dir():
        raise SettingsError(f"--store: {folder} does not exist; make the folder, or name another")
    engine = sql.create_engine(url.set(drivername="sqlite"), connect_args={"timeout": _WAIT_SECONDS})
    sql.event.listen(engine, "connect", _set_up_sqlite)
    sql.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401  (the driver's)
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_sqlite` does
    _log_ahead(connection)
    for line in ("synchronous=FULL", "secure_delete=ON", f"busy_timeout={_WAIT_SECONDS * 1000}"):
        connection.execute(f"PRAGMA {line}").close()


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Write ahead into a log. Of several who ask this of a new file, SQLite refuses some at once, without its wait."""
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(random.uniform(0.001, 0.02))


def _begin_sqlite(connection: sql.Connection) -> None:
    writes = connection.get_execution_options().get("distilrec_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(url: sql.URL) -> sql.Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtraError("psycopg", "postgres") from None
    url = url.set(drivername="postgresql+psycopg")
    return sql.create_engine(
        url, pool_pre_ping=True, pool_size=4, pool_timeout=_WAIT_SECONDS, connect_args=dict(_POSTGRES)
    )
