"""What a request is refused with: one shape for every answer from 400."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

_LONGEST_CAME = 120  # characters of what came that are repeated
STORE_RETRY_SECONDS = 2
BUSY_RETRY_SECONDS = 1


@dataclass
class RefusedError(Exception):
    """A request that is not answered: which thing, what was expected, what came, what to do."""

    status: int
    what: str
    expected: str
    came: str
    do: str
    retry_after: int | None = None  # seconds

    def body(self, request_id: str) -> bytes:
        """The answer as JSON."""
        told = {"what": self.what, "expected": self.expected, "came": self.came, "do": self.do}
        return orjson.dumps({"error": told, "request_id": request_id})

    def headers(self) -> dict[str, str]:
        """When to come back, or that the rest of the request is not read."""
        if self.retry_after is not None:
            return {"retry-after": str(self.retry_after)}
        return {"connection": "close"} if self.status in (408, 413) else {}


def shown(value: Any) -> str:  # noqa: ANN401  (whatever came)
    """What came, short enough to repeat; never text that could not be sent back."""
    told = ascii(value) if isinstance(value, bytes) else repr(value)
    told = told.encode("utf-8", "backslashreplace").decode("utf-8")
    return told if len(told) <= _LONGEST_CAME else f"{told[:_LONGEST_CAME]}... ({len(told)} characters)"


OURS = RefusedError(
    500, "the server failed", "an answer", "a fault of ours, which is in the log", "tell whoever runs it the request_id"
)


def busy(what: str, came: str) -> RefusedError:
    """More was asked than can be held."""
    return RefusedError(503, what, "fewer requests at once", came, "ask again later", BUSY_RETRY_SECONDS)


def no_store(reason: str) -> RefusedError:
    """The store cannot be reached or written; nothing was acknowledged."""
    return RefusedError(
        503,
        "the store of events does not answer",
        "a store that can be read and written",
        reason,
        "ask again later; events keep their event_id, so sending them twice is safe. Recommendations with a history "
        "need no store",
        STORE_RETRY_SECONDS,
    )
