"""The store as the event loop sees it: writes that arrive together are one transaction, and one wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from distilrec.errors import StorageError
from distilrec.serve.logs import log
from distilrec.serve.model import Id
from distilrec.serve.refusals import RefusedError, busy, no_store
from distilrec.serve.store.events import Forgotten, KnownUser, Store, StoredEvent

T = TypeVar("T")

_LARGEST_GROUP = 2000  # events of one transaction


@dataclass(frozen=True)
class _Waiting:
    events: Sequence[StoredEvent]
    stored: asyncio.Future[int]  # how many of them were new

    def succeed(self, new: set[str]) -> set[str]:
        """Tell who waits, unless they have hung up; return the ids that count as theirs."""
        mine = {event.event_id for event in self.events} & new
        if not self.stored.done():
            self.stored.set_result(len(mine))
        return mine

    def fail(self, error: Exception) -> None:
        """Tell who waits that nothing was stored."""
        if not self.stored.done():
            self.stored.set_exception(error)


class GroupedStore:
    """Asks a store in threads of its own; every fault becomes a 503 that says when to come back."""

    def __init__(self, store: Store, *, max_waiting: int) -> None:
        """Take a store.

        Args:
            store: where events are kept.
            max_waiting: events that may wait to be written; more are refused.
        """
        self._store, self._max_waiting = store, max_waiting
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="distilrec-write")
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="distilrec-read")
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None
        self.fault: str | None = None  # what the store said last, where that was no good

    async def prepare(self) -> None:
        """Connect; a store that does not answer is no reason not to start."""
        try:
            await self._ask(self._writer, self._store.prepare)
        except RefusedError as refusal:
            log.warning("the store of events does not answer", extra={"reason": refusal.came})

    async def append(self, events: Sequence[StoredEvent]) -> int:
        """Return how many of the events were new, once all are on disk."""
        held = sum(len(one.events) for one in self._waiting)
        if held and held + len(events) > self._max_waiting:
            raise busy("too many events wait to be written", f"{held} of them")
        waiting = _Waiting(events, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return await waiting.stored

    async def history(self, user_id: Id, newest: int) -> list[Id]:
        """See `Store.history`."""
        return await self._ask(self._readers, lambda: self._store.history(user_id, newest))

    async def user(self, user_id: Id, newest: int) -> KnownUser:
        """See `Store.user`."""
        return await self._ask(self._readers, lambda: self._store.user(user_id, newest))

    async def forget(self, user_id: Id) -> Forgotten:
        """See `Store.forget`; behind what was accepted before, in the same queue."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])
        return await self._ask(self._writer, lambda: self._store.forget(user_id))

    async def close(self) -> None:
        """Write what was accepted, then let go."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        for threads in (self._writer, self._readers):
            threads.shutdown(wait=True)
        self._store.close()

    async def _write(self) -> None:
        while self._waiting:
            group = self._next_group()
            joined = [event for one in group for event in one.events]
            try:
                new = await self._ask(self._writer, partial(self._store.append, joined))
            except Exception as error:  # whatever it is, those who wait hear of it
                for one in group:
                    one.fail(error)
                continue
            for one in group:
                new -= one.succeed(new)  # of two requests with the same event, the first stored it

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        held = 0
        while self._waiting and (not group or held + len(self._waiting[0].events) <= _LARGEST_GROUP):
            group.append(self._waiting.pop(0))
            held += len(group[-1].events)
        return group

    async def _ask(self, threads: ThreadPoolExecutor, question: Callable[[], T]) -> T:
        try:
            answer = await asyncio.get_running_loop().run_in_executor(threads, question)
        except StorageError as error:
            if self.fault is None:
                log.error("the store of events does not answer", extra={"reason": str(error)})
            self.fault = str(error)
            raise no_store(str(error)) from None
        if self.fault is not None:
            log.info("the store of events answers again")
        self.fault = None
        return answer
