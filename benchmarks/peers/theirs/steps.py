"""Training steps on demand: a line comes in, some steps are made, their seconds go out as JSON."""

from __future__ import annotations

import json
import sys
import time


class Steps:
    """Between two turns the process waits for its next line and takes nothing from the others."""

    def __init__(self, steps_a_turn: int, steps_an_epoch: int) -> None:
        self._a_turn, self._an_epoch, self._done = steps_a_turn, steps_an_epoch, 0

    def before(self) -> bool:
        """Call before a step: waits where a turn begins; false where no further turn comes."""
        if self._done == 0:
            print("ready", flush=True)
        if self._done % self._a_turn == 0:
            if not sys.stdin.readline():
                return False
            self._began = time.perf_counter()
        return True

    def after(self) -> None:
        """Call after a step: tells the seconds where a turn ends."""
        self._done += 1
        if self._done % self._a_turn == 0:
            seconds = time.perf_counter() - self._began
            told = {"seconds": seconds, "steps": self._a_turn, "steps_an_epoch": self._an_epoch}
            print(json.dumps(told), flush=True)
