"""Tables, and the steps that lead to them from every earlier version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sql

from distilrec.errors import StorageError

_metadata = sql.MetaData()
events = sql.Table(
    "distilrec_events",
    _metadata,
    sql.Column("place", sql.BigInteger, primary_key=True),  # the order of arrival, which no clock can turn round
    sql.Column("event_id", sql.Text),
    sql.Column("user_id", sql.Text),
    sql.Column("item_id", sql.Text),
    sql.Column("happened_at", sql.Double),
    sql.Column("received_at", sql.Double),
)

_PLACE = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "BIGSERIAL PRIMARY KEY"}
STEPS: Sequence[Sequence[str]] = (
    (
        "CREATE TABLE distilrec_events (place {place}, event_id TEXT NOT NULL UNIQUE, user_id TEXT NOT NULL, "
        "item_id TEXT NOT NULL, happened_at DOUBLE PRECISION, received_at DOUBLE PRECISION NOT NULL)",
        "CREATE INDEX distilrec_events_of_user ON distilrec_events (user_id, place)",
    ),
)
"""Statements by which version n - 1 becomes version n. Never changed once released; new steps are added below."""

_LOCK = 7_236_512_841  # any number that other programs in the database do not lock


def migrate(connection: sql.Connection, steps: Sequence[Sequence[str]] = STEPS) -> int:
    """Bring a database to the newest version, within the caller's transaction; return that version.

    Several servers may start at once: one does the work, the others wait for it.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS distilrec_version (version INTEGER NOT NULL)")
    version = int(connection.exec_driver_sql("SELECT max(version) FROM distilrec_version").scalar() or 0)
    if version > len(steps):
        raise StorageError(
            f"the store has version {version}; this distilrec knows versions up to {len(steps)}. "
            "Run: pip install --upgrade distilrec"
        )
    names: Mapping[str, str] = {"place": _PLACE[dialect]}
    for number in range(version, len(steps)):
        for statement in steps[number]:
            connection.exec_driver_sql(statement.format(**names))
        connection.exec_driver_sql(f"INSERT INTO distilrec_version (version) VALUES ({number + 1})")
    return len(steps)
