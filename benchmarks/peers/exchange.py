"""What peers and we judge alike, as plain files: scores, histories, what was chosen, and the training events.

A folder of `.npy` files, all row numbers: `scores` float32 [C, N], `history` and `relevant` int64 [pairs, 2] of a case
and an item, in rising order of cases, and `train` int64 [events, 2] of a user and an item. Scripts that run in a peer's
environment import this file and NumPy, and nothing else of ours.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FILES = ("scores", "history", "relevant", "train")


@dataclass(frozen=True)
class Exchange:
    """What is judged."""

    scores: np.ndarray  # [C, N]
    history: np.ndarray  # [H, 2]: case, item
    relevant: np.ndarray  # [R, 2]: case, item
    train: np.ndarray  # [E, 2]: user, item

    def save(self, folder: Path) -> None:
        """Write the files."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Exchange:
        """Read the files."""
        return cls(*(np.load(folder / f"{name}.npy", allow_pickle=False) for name in FILES))

    def parts(self, pairs: np.ndarray, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Cases, counted from `begin`, and items of those pairs that belong to some cases."""
        first, last = np.searchsorted(pairs[:, 0], [begin, end])
        return pairs[first:last, 0] - begin, pairs[first:last, 1]


class Clock:
    """Seconds of named pieces of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Add what the block takes."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def answer(path: Path, clocks: list[Clock], metrics: dict[str, float], about: dict[str, Any]) -> None:
    """Write what a peer found."""
    seconds = [clock.seconds for clock in clocks]
    path.write_text(json.dumps({"seconds": seconds, "metrics": metrics, "about": about}, indent=1) + "\n")
