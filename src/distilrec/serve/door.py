"""The door that every request comes through: key, rate, size, time, a bound on how many, an id, and a count.

It is plain ASGI. Requests for recommendations, which are nearly all, go from here straight to what answers them; the
rest goes to the web framework (decision 0026).
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from distilrec.serve.guards import Keys, Rate
from distilrec.serve.logs import log
from distilrec.serve.metrics import Metrics
from distilrec.serve.refusals import OURS, RefusedError, busy
from distilrec.serve.settings import ServeSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Direct = Callable[[bytes], Awaitable[bytes]]

_OPEN = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics"})
"""Paths that need no key, and are answered however many requests wait: they say nothing of anybody."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_JSON = (b"content-type", b"application/json")


class _Gone(Exception):  # noqa: N818  (it is no error of ours)
    """The client has hung up."""


@dataclass
class _Call:
    """One request on its way."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    asker: bytes
    id: bytes
    began: float
    route: str = "other"
    status: int = 0


class Door:
    """Lets requests in, and sees that each gets an answer."""

    def __init__(
        self,
        application: Application,
        direct: Mapping[str, Direct],
        settings: ServeSettings,
        metrics: Metrics,
        keys: Keys | None,
    ) -> None:
        """Stand before an application.

        Args:
            application: what answers everything else.
            direct: what answers a POST at these paths: a body in, JSON out.
            settings: the limits.
            metrics: where answers are counted.
            keys: who may ask; without them everybody may.
        """
        self._application, self._direct, self._settings, self._metrics = application, direct, settings, metrics
        self._keys = keys
        self._rate = Rate(settings.rate_limit) if settings.rate_limit else None
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; other kinds of connection go to the application."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        call = _call(scope)
        answer = _Answer(send, call)
        try:
            await self._answer(call, scope, receive, answer)
        except RefusedError as refusal:
            await answer.refuse(refusal)
        except _Gone:
            call.status = 499
        except Exception:
            log.exception("a request failed", extra=_told(call))
            await answer.refuse(OURS)
        self._count(call)

    async def _answer(self, call: _Call, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if call.path in _OPEN:
            body = await self._body(call, receive)
            await self._application(scope, _again(body, receive), answer.pass_on(scope))
            return
        self._guard(call)
        body = await self._body(call, receive)
        if self._held >= self._settings.max_waiting:
            raise busy("the server has too many requests to answer", f"{self._held} of them wait")
        self._held += 1
        self._metrics.held.inc()
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                direct = self._direct.get(call.path) if call.method == "POST" else None
                if direct is not None:
                    call.route = call.path
                    await answer.json(await direct(body))
                else:
                    await self._application(scope, _again(body, receive), answer.pass_on(scope))
        except TimeoutError:
            waited = f"{self._settings.timeout_seconds:g} s"
            raise busy("the request was not answered in time", f"no answer after {waited}") from None
        finally:
            self._held -= 1
            self._metrics.held.dec()

    def _guard(self, call: _Call) -> None:
        asker = self._keys.check(call.headers) if self._keys else call.asker
        if self._rate:
            self._rate.check(asker)

    async def _body(self, call: _Call, receive: Receive) -> bytes:
        told = call.headers.get(b"content-length", b"0")
        self._check_size(int(told[:20]) if told.isdigit() else self._settings.max_body_bytes + 1)
        message = await receive()  # nearly always all of it
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            body = await self._rest(bytearray(body), receive)
        elif message["type"] == "http.disconnect":
            raise _Gone
        self._check_size(len(body))
        return body

    async def _rest(self, body: bytearray, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    body += message.get("body", b"")
                    self._check_size(len(body))
                    more = message.get("more_body", False)
        except TimeoutError:
            limit = f"{self._settings.body_seconds:g} s"
            came = f"{len(body)} bytes"
            raise RefusedError(
                408, "the body did not come", f"all of it within {limit}", came, "send it again"
            ) from None
        return bytes(body)

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_body_bytes:
            most = f"at most {self._settings.max_body_bytes} bytes"
            what_to_do = "send less at once, or start the server with a larger max_body_bytes"
            raise RefusedError(413, "the body is too large", most, f"{size} bytes or more", what_to_do)

    def _count(self, call: _Call) -> None:
        seconds = time.perf_counter() - call.began
        self._metrics.answered(call.route, call.status, seconds)
        if self._settings.access_log:
            log.info("request", extra={**_told(call), "status": call.status, "seconds": round(seconds, 6)})


class _Answer:
    """What is sent back, with the request's id; begun once."""

    def __init__(self, send: Send, call: _Call) -> None:
        self._send, self._call = send, call

    async def json(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send JSON."""
        self._call.status = status
        more = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        told = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", self._call.id), *more]
        await self._send({"type": "http.response.start", "status": status, "headers": told})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: RefusedError) -> None:
        """Say why not, where nothing was said yet."""
        if not self._call.status:
            body = refusal.body(self._call.id.decode())
            await self.json(body, refusal.status, refusal.headers())

    def pass_on(self, scope: Scope) -> Send:
        """What the application sends, with the id in its head."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._call.status = message["status"]
                self._call.route = getattr(scope.get("route"), "path", "other")
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._call.id)]
            await self._send(message)

        scope["request_id"] = self._call.id.decode()
        return send


def _call(scope: Scope) -> _Call:
    headers = dict(scope["headers"])
    given = headers.get(b"x-request-id", b"")
    known = given if _REQUEST_ID.fullmatch(given) else os.urandom(8).hex().encode()
    asker = (scope.get("client") or ("",))[0].encode()
    return _Call(scope["method"], scope["path"], headers, asker, known, time.perf_counter())


def _told(call: _Call) -> dict[str, str]:
    return {"request_id": call.id.decode(), "method": call.method, "path": call.path}


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, for the application to read."""
    unread = [body]

    async def replay() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return replay
