"""How large the workers of a server are, looked at every half second."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress

import psutil

from soaking.promises import demand
from soaking.server import Server

_EVERY = 0.5  # seconds


class MemoryWatch(threading.Thread):
    """Notes the largest resident memory of each worker, before and after it is warm."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server, self._ends = server, threading.Event()
        self._before: defaultdict[int, float] = defaultdict(float)  # MiB, by process
        self._after: defaultdict[int, float] = defaultdict(float)
        self._warm = False

    def run(self) -> None:
        """Look until it is judged."""
        while not self._ends.wait(_EVERY):
            into = self._after if self._warm else self._before
            for pid, size in self.sizes_mib().items():
                into[pid] = max(into[pid], size)

    def sizes_mib(self) -> dict[int, float]:
        """How large each worker is now, the oldest first."""
        found = {}
        for worker in self._server.workers():
            with suppress(psutil.NoSuchProcess):  # it was killed meanwhile
                found[worker.pid] = worker.memory_info().rss / 2**20
        return found

    def warm(self) -> None:
        """From now on nothing is new to the server."""
        self._warm = True

    def judge(self, growth_mib: float) -> str:
        """Stop looking; see `judge_growth`."""
        self._ends.set()
        self.join()
        return judge_growth(self._before.values(), self._after.values(), growth_mib)


def judge_growth(before: Collection[float], after: Collection[float], growth_mib: float) -> str:
    """How large the largest worker was, in MiB, in the first round and later.

    Raises:
        BrokenPromiseError: later by more than `growth_mib`.
    """
    if not after:
        return f"{max(before):.0f} MiB at most; growth is not judged after one round only"
    told = f"{max(before):.0f} MiB at most in the first round, {max(after):.0f} MiB later"
    demand(max(after) <= max(before) + growth_mib, told)
    return told
