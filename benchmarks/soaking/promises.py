"""Promises: what was done to a server, what it promised, and what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


class BrokenPromiseError(Exception):
    """A server did not do what it promised; the message says what it did."""


@dataclass
class Promise:
    """One line of the table."""

    done: str
    promised: str
    happened: str = ""
    times: int = 0
    broken: list[str] = field(default_factory=list)

    def hold(self, work: Callable[[], str]) -> str:
        """Do it once more; note and return what happened."""
        self.times += 1
        try:
            self.happened = work()
        except (BrokenPromiseError, OSError) as error:
            self.broken.append(str(error) or type(error).__name__)
            return f"BROKEN: {self.broken[-1]}"
        return self.happened

    def cells(self) -> tuple[str, str, str, str]:
        """As it is printed."""
        happened = f"BROKEN: {self.broken[-1]}" if self.broken else self.happened
        kept = f"{self.times - len(self.broken)} of {self.times}"
        return self.done, self.promised, happened, kept


def demand(kept: bool, otherwise: str) -> None:
    """Raise unless a promise is kept.

    Raises:
        BrokenPromiseError: it is not.
    """
    if not kept:
        raise BrokenPromiseError(otherwise)
