"""Stores of every kind keep the same promises."""

import socket
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sql

from distilrec.errors import SettingsError, StorageError
from distilrec.serve.store.connect import _log_ahead, open_engine
from distilrec.serve.store.events import Store, StoredEvent, StoreUnavailableError
from distilrec.serve.store.schema import STEPS, migrate


def events(*numbers, user="u"):
    return [StoredEvent(f"e{number}", user, number) for number in numbers]


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/events.db"
    return request.getfixturevalue("postgres")()


@pytest.fixture
def store(address):
    made = Store(address)
    yield made
    made.close()


def test_a_history_is_in_the_order_of_arrival_whatever_clocks_say(store):
    store.append([StoredEvent("late", "u", "first", 2e9), StoredEvent("early", "u", "second", 0.0)])
    store.append([StoredEvent("before 1970", "u", "third", -5.0)])
    assert store.history("u", 10) == ["first", "second", "third"]


def test_only_the_newest_events_are_read(store):
    store.append(events(*range(50)))
    assert store.history("u", 3) == [47, 48, 49]
    found = store.user("u", 2)
    assert (found.events, [event.item_id for event in found.newest]) == (50, [48, 49])


def test_what_is_known_is_not_stored_again_not_even_within_one_call(store):
    assert store.append([*events(1, 2), *events(2)]) == {"e1", "e2"}
    assert store.append(events(2, 3)) == {"e3"}
    assert store.history("u", 10) == [1, 2, 3]


def test_numbers_and_text_stay_what_they_are_and_users_are_the_same_by_either(store):
    store.append([StoredEvent("a", 5, 7), StoredEvent("b", "5", "7")])
    assert store.history("5", 10) == [7, "7"]
    assert store.history(5, 10) == [7, "7"]


def test_many_threads_that_write_at_once_lose_nothing(store):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: store.append(events(number, user=f"u{number}")), range(40)))
    assert sum(store.user(f"u{number}", 1).events for number in range(40)) == 40


def test_a_forgotten_user_leaves_the_others(store):
    store.append([*events(1, 2), *events(3, user="other")])
    done = store.forget("u")
    assert (done.deleted, done.left) == (2, 0)
    assert store.history("u", 10) == []
    assert store.history("other", 10) == [3]


def test_two_servers_may_start_at_once_on_an_empty_database(address):
    stores, together = [Store(address) for _ in range(8)], Barrier(8)

    def start(store):
        together.wait()
        store.prepare()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(start, stores))
    assert stores[0].append(events(1)) == {"e1"}
    for one in stores:
        one.close()


def test_a_file_that_is_busy_for_a_moment_is_asked_again_and_one_that_is_broken_is_not(tmp_path):
    refusals = [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY]  # one a call, until none is left

    class Reluctant(sqlite3.Connection):
        def execute(self, statement):
            if refusals:
                error = sqlite3.OperationalError("refused")
                error.sqlite_errorcode = refusals.pop(0)
                raise error
            return super().execute(statement)

    connection = sqlite3.connect(tmp_path / "events.db", factory=Reluctant)
    _log_ahead(connection)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    refusals += [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CORRUPT]
    with pytest.raises(sqlite3.OperationalError, match="refused"):
        _log_ahead(connection)
    assert refusals == [sqlite3.SQLITE_CORRUPT]
    connection.close()


def test_a_later_version_is_reached_from_an_earlier_one_with_what_it_holds(address, store):
    store.append(events(1))
    engine = open_engine(address)
    with engine.begin() as connection:
        assert migrate(connection, [*STEPS, ("ALTER TABLE distilrec_events ADD COLUMN device TEXT",)]) == len(STEPS) + 1
        assert connection.exec_driver_sql("SELECT event_id, device FROM distilrec_events").all() == [("e1", None)]
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(address, store):
    store.prepare()
    engine = open_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO distilrec_version VALUES (99)")
    engine.dispose()
    newer = Store(address)
    with pytest.raises(StorageError, match="the store has version 99; this distilrec knows versions up to 1"):
        newer.prepare()
    newer.close()


def test_sqlite_waits_for_the_disk_and_writes_ahead(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/events.db")
    with engine.connect() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    engine.dispose()
    assert modes == ["wal", 2]  # 2 is FULL


def test_bytes_of_a_forgotten_user_are_in_no_file(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/events.db")
    store.append([StoredEvent(f"e{n}", "zebra-person", "zebra-item") for n in range(200)])
    held = lambda: b"".join(file.read_bytes() for file in tmp_path.iterdir())  # noqa: E731
    assert b"zebra" in held()
    store.forget("zebra-person")
    assert b"zebra" not in held()
    store.close()


def test_a_full_disk_is_told_and_what_was_stored_before_stays(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/events.db")
    store.append(events(1))
    sql.event.listen(store._engine, "begin", lambda c: c.exec_driver_sql("PRAGMA max_page_count = 8"))
    with pytest.raises(StoreUnavailableError, match="database or disk is full"):
        store.append([StoredEvent(f"big{n}", "u", "x" * 1000) for n in range(100)])
    assert store.history("u", 1000) == [1]
    store.close()


def test_a_damaged_file_is_told(tmp_path):
    (tmp_path / "events.db").write_bytes(b"this is no database" * 100)
    store = Store(f"sqlite:///{tmp_path}/events.db")
    with pytest.raises(StoreUnavailableError, match="file is not a database"):
        store.prepare()
    store.close()


def test_a_locked_database_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("distilrec.serve.store.connect._WAIT_SECONDS", 0)
    store = Store(f"sqlite:///{tmp_path}/events.db")
    store.prepare()
    other = sqlite3.connect(tmp_path / "events.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="database is locked"):
        store.append(events(1))
    other.close()
    assert store.append(events(1)) == {"e1"}
    store.close()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("nothing", "--store 'nothing' is not an address; expected sqlite:///FILE or postgresql://"),
        ("mysql://host/db", "--store names 'mysql'; expected sqlite:///FILE"),
        ("sqlite://", "a database in memory, which keeps nothing"),
        ("sqlite:////nowhere/at/all.db", "/nowhere/at does not exist; make the folder"),
    ],
)
def test_an_address_that_cannot_be_is_refused_before_anything_starts(address, told):
    with pytest.raises(SettingsError, match=told.replace("(", r"\(")):
        Store(address)


def test_a_server_that_is_not_there_is_told_within_seconds():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        store = Store(f"postgresql://nobody@127.0.0.1:{free.getsockname()[1]}/nothing")
        with pytest.raises(StoreUnavailableError, match=r"connection failed|refused"):
            store.prepare()
    store.close()
