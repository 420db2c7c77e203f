"""Working through the cells of a proof, with the time that is left."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

from distilrec.run.folder import FolderBusyError, seconds_of_stage
from distilrec.run.quality.cells import Cell
from distilrec.run.quality.proof import Proof


def work_through(proof: Proof, cells: Sequence[Cell]) -> list[Cell]:
    """Train and judge every cell that is not done; return those that other processes work on.

    Interrupted or killed, the same call goes on where it stopped, in the middle of a training too.
    """
    passed_over = []
    seconds: dict[str, list[float]] = defaultdict(list)
    try:
        proof.judge_teachers()
    except FolderBusyError as error:
        proof.say(f"teachers: passed over; {error}")
    began = time.monotonic()
    for number, cell in enumerate(cells):
        if proof.outcome(cell) is None:
            proof.say(f"cell {number + 1} of {len(cells)}: {cell.name}{_left(seconds, cells[number:], began)}")
            try:
                proof.work(cell)
            except FolderBusyError as error:
                proof.say(f"  passed over; {error}")
                passed_over.append(cell)
                continue
        seconds[cell.student].append(seconds_of_stage(proof.folder(cell) / "trained"))
    return passed_over


def _left(seconds: dict[str, list[float]], cells: Sequence[Cell], began: float) -> str:
    """Each cell that is left is taken to need what others of its student did."""
    if not seconds:
        return ""
    usual = statistics.mean(value for values in seconds.values() for value in values)
    left = sum(statistics.mean(seconds[cell.student]) if cell.student in seconds else usual for cell in cells)
    return f" ({(time.monotonic() - began) / 60:.0f} min so far, about {left / 60:.0f} min left)"
