"""Requests and answers as they go over the wire, the bad ones too."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from collections.abc import Mapping, Sequence


def http_request(path: str, body: bytes) -> bytes:
    """A POST over a connection that is closed after its answer."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


MALFORMED = {
    "zeros": b"\x00" * 200,
    "no HTTP": b"hello\r\n\r\n",
    "a negative length": b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "no JSON": http_request("/recommend", b'{"history": [1'),
    "no UTF-8": http_request("/recommend", b'{"history": ["\xff"]}'),
    "deep": http_request("/recommend", b"[" * 50_000),
    "another type": http_request("/recommend", b'{"history": 7}'),
    "k too small": http_request("/recommend", b'{"history": [1], "k": 0}'),
    "an unknown field": http_request("/recommend", b'{"histroy": [1]}'),
    "an event without a user": http_request("/events", b'{"item_id": 1}'),
    "a lone surrogate": http_request("/events", b'{"user_id": "\\ud800", "item_id": 1}'),
    "an unknown address": http_request("/nowhere", b"{}"),
    "a body that is too large": http_request("/recommend", b" " * (2 << 20)),
    "an infinite number": http_request("/similar", b'{"item_ids": [1e999]}'),
}


def mutated(path: str, body: object, draw: random.Random) -> bytes:
    """A good request with one to four bytes of its body changed."""
    raw = bytearray(json.dumps(body).encode())
    for _ in range(draw.randint(1, 4)):
        raw[draw.randrange(len(raw))] = draw.randrange(256)
    return http_request(path, bytes(raw))


def status_of(connection: socket.socket) -> int:
    """The status of the answer, or 0 where the connection was closed without one."""
    try:
        came = connection.recv(1 << 16)
    except ConnectionError:
        return 0
    return int(came.split(None, 2)[1]) if came.startswith(b"HTTP/") else 0


def statuses_of(connections: Sequence[socket.socket]) -> Counter[int]:
    """How often each status came; closes the connections."""
    found = Counter(status_of(connection) for connection in connections)
    for connection in connections:
        connection.close()
    return found


def listed(statuses: Mapping[int, int]) -> str:
    """Statuses and how often each came."""
    return ", ".join(f"{count}x {status}" for status, count in sorted(statuses.items()))
