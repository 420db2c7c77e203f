"""What a server survives: processes are killed, files damaged, and clients misbehave."""

import os
import signal
import threading
import time
from contextlib import ExitStack
from http.client import HTTPException

import pytest
from fakes import FakeModel
from running import IDS, Running

EVERY_EVENT = 1_000_000  # the answer about a user is to hold all that a sender sent, however fast the machine


class EventSender(threading.Thread):
    """Sends one event after the other, each until it is acknowledged, as a good client does."""

    def __init__(self, server, name, seconds):
        super().__init__()
        self.server, self.name, self.ends = server, name, time.monotonic() + seconds
        self.acknowledged, self.again, self.statuses = [], 0, set()

    def run(self):
        number = 0
        while time.monotonic() < self.ends:
            event = {"event_id": f"{self.name}-{number}", "user_id": self.name, "item_id": number}
            try:
                status, _ = self.server.ask("/events", event)
                self.statuses.add(status)
            except (OSError, HTTPException):
                status = 0  # the connection was cut
            if status == 200:
                self.acknowledged.append(number)
                number += 1
            else:
                self.again += 1
                time.sleep(0.05)


def kept(server, sender):
    """The numbers of a sender that the server has, in its order."""
    found = server.ask(f"/users/{sender.name}")[1]
    return [event["item_id"] for event in found["newest"]]


def test_a_killed_worker_comes_back_and_no_acknowledged_event_is_lost(tmp_path):
    with Running(tmp_path, workers=2, history_events=EVERY_EVENT) as server:
        server.wait_for("ready", 2)
        senders = [EventSender(server, f"sender{number}", 1.5) for number in range(3)]
        for sender in senders:
            sender.start()
        time.sleep(0.4)
        os.kill(server.workers()[0], signal.SIGKILL)
        for sender in senders:
            sender.join()
        server.wait_for("a worker died and is started again")
        server.wait_for("ready", 3)
        for sender in senders:
            assert sender.acknowledged
            assert kept(server, sender)[: len(sender.acknowledged)] == sender.acknowledged
        assert len(server.workers()) == 2
        # whichever worker is asked, it answers for both, and for the one that died
        assert 'distilrec_requests_total{route="/users/{user_id:path}",status="200"} 3.0' in server.text("/metrics")


def test_a_worker_alone_comes_back_and_finishes_what_it_accepted_when_told_to_stop(tmp_path):
    with Running(tmp_path) as server:
        server.wait_for("ready")
        os.kill(server.workers()[0], signal.SIGKILL)
        server.wait_for("a worker died")
        assert server.ask("/recommend", {"history": ["a"], "k": 1})[0] == 200  # who connects meanwhile waits
        body = b'{"user_id": "u", "item_id": "a", "event_id": "last"}'
        head = f"POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with server.connect() as connection:
            connection.sendall(head + body[:10])
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            connection.sendall(body[10:])
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert server.process.wait(timeout=20) == 0


def test_a_good_model_takes_over_while_requests_go_on_and_a_bad_one_does_not(shared_server):
    statuses, models, ends = set(), [], threading.Event()

    def ask():
        while not ends.is_set():
            status, answer = shared_server.ask("/recommend", {"history": ["a"]})
            statuses.add(status)
            models.append(answer["model"])

    asking = threading.Thread(target=ask)
    asking.start()
    FakeModel(IDS, "second").write(shared_server.folder)
    shared_server.wait_for("a new model answers")
    (shared_server.folder / "export.json").write_text('{"ids": ["a"], "count": 9, "broken"')  # half a copy
    shared_server.wait_for("a new model was refused")
    ends.set()
    asking.join()
    assert statuses == {200}
    assert models[-1] == "second"
    assert set(models) <= {"first", "second"}
    FakeModel(IDS, "third").write(shared_server.folder)
    shared_server.wait_for("a new model answers", 2)


def test_a_folder_without_a_whole_model_is_refused_at_the_start(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "export.json").write_text('{"ids": [], "count": 9}')
    with Running(tmp_path) as server:
        assert server.process.wait(timeout=20) == 2
        assert "was cut short" in server.wait_for("error: ")["message"]


def test_five_hundred_connections_and_slow_clients_keep_nobody_waiting(shared_server):
    with ExitStack() as held:
        connections = [held.enter_context(shared_server.connect()) for _ in range(500)]
        for connection in connections[:100]:
            connection.sendall(b"POST /recommend HTTP/1.1\r\nHost:")  # a head that never ends
        for connection in connections[100:200]:
            connection.sendall(b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        asked = b'POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{"history": ["a"]}'
        for connection in connections[200:]:
            connection.sendall(asked)
        assert [connection.recv(1000)[:12] for connection in connections[200:]] == [b"HTTP/1.1 200"] * 300
        assert all(connection.recv(1000) == b"" for connection in connections[:100])  # closed
        assert all(connection.recv(1000)[:12] == b"HTTP/1.1 408" for connection in connections[100:200])


RAW = {
    "zeros": b"\x00" * 100,
    "a version to come": b"GET / HTTP/9.9\r\n\r\n",
    "a negative length": b"POST /recommend HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_http_is_refused(shared_server, name):
    with shared_server.connect() as connection:
        connection.sendall(RAW[name])
        assert connection.recv(1000).split()[1] == b"400"


def test_a_history_of_a_million_items_is_answered(shared_server):
    began = time.monotonic()
    status, answer = shared_server.ask("/recommend", {"history": ["a", "b"] * 500_000, "k": 1})
    assert (status, answer["items"][0]["item_id"]) == (200, "c")
    assert time.monotonic() - began < 10


def test_the_database_gone_for_seconds_loses_nothing_and_stops_no_recommendation(tmp_path, postgres_server):
    address = postgres_server.database()
    with Running(tmp_path, store=address, history_events=EVERY_EVENT) as server:
        server.wait_for("ready")
        sender = EventSender(server, "sender", 3.0)
        sender.start()
        time.sleep(0.4)
        postgres_server.stop()
        try:
            server.wait_for("the store of events does not answer")
            status, refused = server.ask("/users/sender")
            assert status == 503
            assert "events keep their event_id" in refused["error"]["do"]
            assert server.ask("/recommend", {"history": ["a"], "k": 1})[0] == 200
            assert server.ask("/health/ready")[1]["store"] != "ok"
        finally:
            postgres_server.start()
        server.wait_for("the store of events answers again")
        sender.join()
        assert sender.statuses == {200, 503}
        assert kept(server, sender)[: len(sender.acknowledged)] == sender.acknowledged
        assert server.ask("/health/ready")[1]["store"] == "ok"
