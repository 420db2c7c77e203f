"""Clients that ask steadily, send events until each is acknowledged, and count what they are answered."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from soaking.ledger import Ledger

Id = int | str
CUT = 0
"""In the place of a status: the connection was closed before an answer came."""
_LONGEST_ANSWER = 30.0  # seconds; a server that is frozen meanwhile still answers within this
_EXCUSED = 3.0  # seconds after a worker was killed in which its connections may break


@dataclass
class Answers:
    """Statuses by route, for threads to share, and when connections may break."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    unexcused: int = 0
    """Connections that broke though no worker had been killed."""
    mute: int = 0
    """Answers with status 503 that did not say when to come back."""
    _killed_at: float = -_EXCUSED
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def kill(self) -> None:
        """Say that a worker is being killed."""
        self._killed_at = time.monotonic()

    def count(self, route: str, status: int, *, retry_after: str | None = None) -> None:
        """Count an answer."""
        with self._lock:
            self.mute += status == 503 and retry_after is None
            self.statuses[route, status] += 1
            self.unexcused += status == CUT and time.monotonic() > self._killed_at + _EXCUSED


class Client(threading.Thread):
    """Sends one request after the other over a connection that it keeps, at most so many a second."""

    def __init__(self, port: int, answers: Answers, per_second: float) -> None:
        super().__init__(daemon=True)
        self._port, self._answers, self._pause = port, answers, 1 / per_second
        self._ends = threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Ask until told to stop."""
        for method, path, body, event_ids in self.requests():
            while not self._ends.wait(self._pause):
                status = self.ask(method, path, body)
                if self.answered(status, event_ids):
                    break
            if self._ends.is_set():
                break
        self._close()

    def requests(self) -> Iterator[tuple[str, str, object, Sequence[str]]]:
        """Method, path, body, and the events in it."""
        raise NotImplementedError

    def answered(self, status: int, event_ids: Sequence[str]) -> bool:
        """Whether to go on to the next request."""
        return True

    def ask(self, method: str, path: str, body: object) -> int:
        """The status of an answer."""
        retry_after = None
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_LONGEST_ANSWER)
            self._connection.request(method, path, None if body is None else json.dumps(body))
            answer = self._connection.getresponse()
            answer.read()
            status, retry_after = answer.status, answer.getheader("Retry-After")
        except (OSError, http.client.HTTPException):
            status = CUT
            self._close()
        route = "/users/ID" if path.startswith("/users/") else path
        self._answers.count(f"{method} {route}", status, retry_after=retry_after)
        return status

    def stop(self) -> None:
        """Finish what is asked now."""
        self._ends.set()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Sender(Client):
    """Sends events of one user, one or three at a time, each until it is acknowledged, as a good client does."""

    def __init__(
        self, port: int, answers: Answers, rate: float, *, ledger: Ledger, name: str, ids: Sequence[Id]
    ) -> None:
        super().__init__(port, answers, rate)
        self._ledger, self._user, self._ids = ledger, f"{ledger.run}-{name}", ids

    def requests(self) -> Iterator[tuple[str, str, object, Sequence[str]]]:
        """Events, without end."""
        numbers = itertools.count()
        for size in itertools.cycle((1, 3)):
            mine = [next(numbers) for _ in range(size)]
            events = [
                {"event_id": f"{self._user}-{n}", "user_id": self._user, "item_id": self._ids[n % len(self._ids)]}
                for n in mine
            ]
            event_ids = [str(event["event_id"]) for event in events]
            self._ledger.send(event_ids)
            yield "POST", "/events", {"events": events} if size > 1 else events[0], event_ids

    def answered(self, status: int, event_ids: Sequence[str]) -> bool:
        """Only status 200 says that events are on disk."""
        if status == 200:
            self._ledger.acknowledge(event_ids)
        return status == 200


class Asker(Client):
    """Asks for recommendations by history and by user, for similar items, and about users."""

    def __init__(
        self, port: int, answers: Answers, rate: float, *, users: Sequence[str], ids: Sequence[Id], seed: int
    ) -> None:
        super().__init__(port, answers, rate)
        self._users, self._ids, self._draw = users, ids, random.Random(seed)

    def requests(self) -> Iterator[tuple[str, str, object, Sequence[str]]]:
        """Questions, without end."""
        while True:
            history = self._draw.choices(self._ids, k=self._draw.randint(1, 50))
            user = self._draw.choice(self._users)
            yield "POST", "/recommend", {"history": history, "k": 10}, ()
            yield "POST", "/recommend", {"user_id": user, "k": 10}, ()
            yield "POST", "/similar", {"item_ids": history[:3], "k": 5}, ()
            yield "GET", f"/users/{user}", None, ()
