"""What is wrong with data: how bad, how often, where, and what is done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from distilrec.config import Settings


class Cleaning(Settings):
    """What to do about rows that cannot be used as they are."""

    missing_ids: Literal["refuse", "drop"] = "refuse"
    """Rows without a user or an item: refuse the log, or leave them out."""

    mixed_ids: Literal["refuse", "text"] = "refuse"
    """Ids that are numbers in some rows, texts in others: refuse, or read all as text (1 and "1" are one)."""

    bad_times: Literal["refuse", "drop", "blank"] = "refuse"
    """Times that are impossible or unreadable: refuse, leave the rows out, or keep them without a time."""

    bad_weights: Literal["refuse", "drop"] = "refuse"
    """Text in the number column: refuse, or leave the rows out."""

    keep_unused_items: bool = False
    """Keep items of the catalogue that nobody used."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, however often."""

    severity: Literal["error", "warning"]
    what: str
    count: int = 0  # none where there is nothing to count, as with a file that cannot be read
    action: str = ""  # what is done about it; for an error, what to do
    source: str = ""
    examples: tuple[str, ...] = ()
    option: str = ""  # for an error: what makes the data usable all the same, if anything does

    def text(self) -> str:
        """The problem in a sentence or two."""
        where = f"{self.source}: " if self.source else ""
        count = f": {self.count:,}" if self.count else ""
        first = f" (first: {'; '.join(self.examples)})" if self.examples else ""
        return f"{where}{self.what}{count}{first}" + (f". {self.action}" if self.action else "")
