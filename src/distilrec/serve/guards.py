"""Who may ask, and how often."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from distilrec.errors import SettingsError
from distilrec.serve.refusals import RefusedError

_SHORTEST_KEY = 16  # characters
_REMEMBERED = 10_000  # askers whose rate is known


class Keys:
    """The keys that open the door. Their digests are compared in a time that says nothing of them."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Keys of a file, one a line; empty lines and lines that begin with # are left out."""
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise SettingsError(f"--api-key-file {path} cannot be read: {why}") from None
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise SettingsError(f"--api-key-file {path} holds no key; expected one a line")
        short = sum(len(key) < _SHORTEST_KEY for key in keys)
        if short:
            raise SettingsError(
                f"--api-key-file {path}: {short} of its keys have fewer than {_SHORTEST_KEY} characters; "
                "make them with: openssl rand -hex 32"
            )
        return cls(keys)

    def check(self, headers: dict[bytes, bytes]) -> bytes:
        """What stands for the key that a request brings.

        Raises:
            RefusedError: 401, no key or another one.
        """
        given = headers.get(b"x-api-key")
        if given is None:
            scheme, _, rest = headers.get(b"authorization", b"").partition(b" ")
            given = rest.strip() if scheme.lower() == b"bearer" else None
        came = "no key" if given is None else "another key"
        digest = hashlib.sha256(given or b"").digest()
        fits = [hmac.compare_digest(digest, known) for known in self._digests]  # all of them, whichever fits
        if given is None or True not in fits:
            expected = "a key in the header X-API-Key, or after Authorization: Bearer"
            raise RefusedError(401, "the request may not be answered", expected, came, "ask whoever runs the server")
        return digest


class Rate:
    """So many requests a second for each asker, and as many at once."""

    def __init__(self, per_second: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._most, self._now = per_second, max(1.0, per_second), now
        self._left: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted

    def check(self, asker: bytes) -> None:
        """Take one token.

        Raises:
            RefusedError: 429, there is none.
        """
        now = self._now()
        tokens, counted = self._left.pop(asker, (self._most, now))
        tokens = min(self._most, tokens + (now - counted) * self._per_second)
        self._left[asker] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        if tokens < 1:
            wait = max(1, round((1 - tokens) / self._per_second + 0.5))
            told = f"at most {self._per_second:g} requests a second"
            raise RefusedError(429, "too many requests", told, "one more", f"wait {wait} s", wait)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8")).digest()
