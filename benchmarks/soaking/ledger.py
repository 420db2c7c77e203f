"""What clients sent and what the server acknowledged, to be compared with what the store holds in the end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sql

from distilrec.serve.store.connect import open_engine


@dataclass
class Ledger:
    """Ids of events, for threads to share; each begins with `run`, which tells them from older events of a store."""

    run: str
    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, event_ids: Iterable[str]) -> None:
        """Note events before they go out."""
        with self._lock:
            self.sent |= set(event_ids)

    def acknowledge(self, event_ids: Iterable[str]) -> None:
        """Note events that the server says are on disk."""
        with self._lock:
            self.acknowledged |= set(event_ids)


@dataclass(frozen=True)
class Compared:
    """How a ledger and a store differ."""

    acknowledged: int
    unacknowledged: int
    """In the store though their answer never came: harmless, since their ids let clients send them again."""
    lost: list[str]
    twice: list[str]
    strange: list[str]
    """In the store though nobody sent them."""

    @property
    def agree(self) -> bool:
        """Whether every acknowledged event is there once, and nothing else."""
        return not (self.lost or self.twice or self.strange)

    def told(self) -> str:
        """In a sentence."""
        counts = f"{self.acknowledged} acknowledged, {self.unacknowledged} more kept whose answer was cut off"
        wrong = {"lost": self.lost, "twice": self.twice, "never sent": self.strange}
        found = ", ".join(f"{len(ids)} {what}{_first(ids)}" for what, ids in wrong.items())
        return f"{counts}; {found}"


def compare(ledger: Ledger, stored: Iterable[str]) -> Compared:
    """Compare with the event ids of a store, one for each row."""
    rows = Counter(event_id for event_id in stored if event_id.startswith(ledger.run))
    return Compared(
        acknowledged=len(ledger.acknowledged),
        unacknowledged=len(rows.keys() - ledger.acknowledged),
        lost=sorted(ledger.acknowledged - rows.keys()),
        twice=sorted(event_id for event_id, count in rows.items() if count > 1),
        strange=sorted(rows.keys() - ledger.sent),
    )


def stored_ids(address: str) -> list[str]:
    """The event ids of a store, read from its database and not through the server."""
    engine = open_engine(address)
    try:
        with engine.connect() as connection:
            return list(connection.execute(sql.text("SELECT event_id FROM distilrec_events")).scalars())
    finally:
        engine.dispose()


def _first(ids: list[str]) -> str:
    return f" ({', '.join(ids[:3])})" if ids else ""
