"""The load of `benchmarks/serve_speed.py` counts what it is answered, and does not take silence for speed."""

import socket
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from serving.load import http_request, run_load

REQUEST = http_request("/recommend", b"{}")


@pytest.fixture
def serve():
    """Starts a server on a free port that answers each request, over one connection, with the next of some bytes."""
    stop = []

    def start(*answers):
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=answer_all, args=(listener, answers))
        thread.start()
        stop.append((listener, thread))
        return listener.getsockname()[1]

    yield start
    for listener, thread in stop:
        thread.join(timeout=5)
        listener.close()


def answer_all(listener, answers):
    connection, _ = listener.accept()
    with connection, suppress(ConnectionError):  # the load hangs up in the middle of an answer
        for number in range(10_000):
            if not connection.recv(65_536) or number >= len(answers) > 1:
                return
            for part in answers[number % len(answers)]:
                connection.sendall(part)


def test_an_answer_counts_once_it_is_whole(serve):
    port = serve((b"HTTP/1.1 200 OK\r\nContent-", b"Length: 4\r\n\r\n", b"ab", b"cd"))
    load = run_load(port, [REQUEST], connections=1, seconds=0.1)
    assert load.statuses == Counter({200: load.requests})
    assert load.requests > 3
    assert load.per_second == pytest.approx(load.requests / load.seconds)
    assert 0 < load.percentile(50) <= load.percentile(99) < 1000


def test_refusals_are_told_apart(serve):
    port = serve((b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",))
    load = run_load(port, [REQUEST], connections=1, seconds=0.05)
    assert set(load.statuses) == {503}


def test_a_server_that_hangs_up_is_an_error(serve):
    good = (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",)
    with pytest.raises(ConnectionError, match="closed a connection in the middle of the load"):
        run_load(serve(good, good), [REQUEST], connections=1, seconds=5)


def test_a_request_says_how_long_it_is():
    assert http_request("/similar", b'{"k": 1}').endswith(b'Content-Length: 8\r\n\r\n{"k": 1}')
