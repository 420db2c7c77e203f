"""What each route answers: a body in, JSON out. They know nothing of HTTP but the refusals."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from distilrec.errors import DistilRecError
from distilrec.serve.batching import Batcher, Question
from distilrec.serve.metrics import Metrics
from distilrec.serve.model import Id, InUse, plain
from distilrec.serve.questions import EVENTS, RECOMMEND, SIMILAR, Events, RecommendRequest, parse
from distilrec.serve.refusals import RefusedError, shown
from distilrec.serve.settings import ServeSettings
from distilrec.serve.store.events import StoredEvent
from distilrec.serve.store.grouped import GroupedStore

if TYPE_CHECKING:  # they load polars, whose threads must not be there when workers are forked
    from distilrec.serve.runtime import Recommendations


class Answers:
    """Answers from the model in use and the store."""

    def __init__(self, in_use: InUse, store: GroupedStore, settings: ServeSettings, metrics: Metrics) -> None:
        """Put together what answers."""
        self._in_use, self._store, self._settings, self._metrics = in_use, store, settings, metrics
        self._batcher = Batcher(in_use, seen=metrics.batch.observe)

    async def recommend(self, body: bytes) -> bytes:
        """The best items after a history, given or stored."""
        asked = parse(RECOMMEND, body)
        history, why = await self._history(asked)
        question = Question(
            history, self._k(asked.k), asked.exclude_history, asked.allow, asked.block, self._where(asked.where)
        )
        found = await self.ask(question)
        if found.fallback is not None:
            self._metrics.fallbacks.inc()
        answer = {**_listed(found), "fallback": why if why and found.fallback else found.fallback}
        return orjson.dumps(
            {
                **answer,
                "unknown": list(found.unknown),
                "ignored": ["context"] if asked.context else [],
                "model": self._in_use.model.digest,
            }
        )

    async def ask(self, question: Question) -> Recommendations:
        """The model's answer; what it refuses is the asker's mistake."""
        try:
            return await self._batcher.ask(question)
        except DistilRecError as error:
            raise _refused_by_model(error) from None

    async def similar(self, body: bytes) -> bytes:
        """The nearest items of each item."""
        asked, model = parse(SIMILAR, body), self._in_use.model
        k, lists = self._k(asked.k), []
        for item in asked.item_ids:
            try:
                (found,) = model.similar([item], k=k)
            except DistilRecError as error:
                raise _refused_by_model(error) from None
            lists.append({"item_id": item, **_listed(found)})
            await asyncio.sleep(0)  # others are answered between two items
        return orjson.dumps({"similar": lists, "model": model.digest})

    async def events(self, body: bytes) -> bytes:
        """Keep events; the answer comes when they are on disk."""
        asked = parse(EVENTS, body)
        given = asked.events if isinstance(asked, Events) else [asked]
        events = [
            StoredEvent(event.event_id or uuid.uuid4().hex, event.user_id, event.item_id, event.timestamp)
            for event in given
        ]
        stored = await self._store.append(events)
        known = len(events) - stored
        self._metrics.events.labels("stored").inc(stored)
        self._metrics.events.labels("known").inc(known)
        ids = [event.event_id for event in events]
        return orjson.dumps({"stored": stored, "known": known, "event_ids": ids})

    async def user(self, user_id: str) -> bytes:
        """What is known of a user."""
        found = await self._store.user(user_id, self._settings.history_events)
        if not found.events:
            raise _no_such_user(user_id)
        newest = [
            {"event_id": event.event_id, "item_id": event.item_id, "timestamp": event.happened_at}
            for event in found.newest
        ]
        return orjson.dumps({"user_id": user_id, "events": found.events, "newest": newest})

    async def forget(self, user_id: str) -> bytes:
        """Delete a user's events, and say what a new look found."""
        done = await self._store.forget(user_id)
        return orjson.dumps({"user_id": user_id, "deleted": done.deleted, "left": done.left})

    async def _history(self, asked: RecommendRequest) -> tuple[Sequence[Id], str | None]:
        """A history, and why there is none."""
        if asked.history is not None:
            return asked.history, None
        if asked.user_id is None:
            return [], "the request has neither history nor user_id: popular items are shown"
        stored = await self._store.history(asked.user_id, self._settings.history_events)
        why = None if stored else f"user {shown(asked.user_id)} has no events yet: popular items are shown"
        return stored, why

    def _k(self, k: int) -> int:
        if k > self._settings.max_k:
            most = f"1 to {self._settings.max_k}"
            raise RefusedError(
                422, "k is too large", most, str(k), "ask for fewer items, or start the server with a larger max_k"
            )
        return min(k, self._in_use.model.n_items)

    def _where(self, where: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        columns = self._in_use.model.items.columns
        for name in where or ():
            if name not in columns:
                known = f"a column of the catalogue: {', '.join(columns)}"
                raise RefusedError(422, "where names an unknown column", known, shown(name), "name one of these")
        return where


def _listed(found: Recommendations) -> dict[str, Any]:
    pairs = zip(found.item_ids, found.scores, strict=True)
    return {"items": [{"item_id": plain(item), "score": float(score)} for item, score in pairs]}


def _refused_by_model(error: DistilRecError) -> RefusedError:
    return RefusedError(422, "the model refuses the request", "what its message says", str(error), "correct it")


def _no_such_user(user_id: str) -> RefusedError:
    what = "the user has no events"
    return RefusedError(404, what, "a user of whom an event was stored", shown(user_id), "POST /events first")
