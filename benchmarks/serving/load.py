"""A closed loop of requests: each connection sends one, waits for its answer, and sends the next.

One thread and no library between it and the socket, so that the client costs a fraction of what it measures: some
12,000 answers a second on a core of its own. It keeps connections open, and counts anything but status 200.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

_END_OF_HEAD = b"\r\n\r\n"
_READ_BYTES = 1 << 16
_LONGEST_SILENCE = 10.0  # seconds without any answer


@dataclass(frozen=True)
class Load:
    """What a load met."""

    requests: int
    seconds: float
    milliseconds: np.ndarray  # [requests], from the first byte sent to the last byte read
    statuses: Counter[int]

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds within which that share of 100 was answered."""
        return float(np.percentile(self.milliseconds, share))


@dataclass
class _Connection:
    socket: socket.socket
    sent_at: float = 0.0
    held: bytearray = field(default_factory=bytearray)


def http_request(path: str, body: bytes, *, host: str = "127.0.0.1") -> bytes:
    """A POST of JSON as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def run_load(port: int, requests: Sequence[bytes], *, connections: int, seconds: float) -> Load:
    """Send requests, in turns, over so many connections to a port of this machine, for so many seconds.

    Raises:
        ConnectionError: the server closed a connection or said nothing for ten seconds.
    """
    taken, statuses, number = [], Counter[int](), 0
    with ExitStack() as held, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = _Connection(held.enter_context(_connect(port)))
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            number = _send(connection, requests, number)
        began = now = time.perf_counter()
        while now < began + seconds:
            ready = selector.select(timeout=_LONGEST_SILENCE)
            if not ready:
                raise ConnectionError(f"the server on port {port} has not answered for {_LONGEST_SILENCE:g} s")
            for key, _ in ready:
                status = _receive(key.data)
                now = time.perf_counter()
                if status is not None:
                    taken.append(now - key.data.sent_at)
                    statuses[status] += 1
                    number = _send(key.data, requests, number)
    return Load(len(taken), now - began, np.array(taken) * 1000, statuses)


def _connect(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_SILENCE)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _send(connection: _Connection, requests: Sequence[bytes], number: int) -> int:
    connection.sent_at = time.perf_counter()
    connection.socket.sendall(requests[number % len(requests)])
    return number + 1


def _receive(connection: _Connection) -> int | None:
    """The status of an answer that has come whole, or none yet."""
    came = connection.socket.recv(_READ_BYTES)
    if not came:
        raise ConnectionError("the server closed a connection in the middle of the load")
    connection.held += came
    end = connection.held.find(_END_OF_HEAD)
    if end < 0:
        return None
    head = bytes(connection.held[:end]).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    if len(connection.held) < end + len(_END_OF_HEAD) + length:
        return None
    connection.held.clear()
    return int(head.split(b" ", 2)[1])
