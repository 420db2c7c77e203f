"""Progress with time left: a bar on a terminal, a line now and then elsewhere. Always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[..., None]
_LINE_EVERY_SECONDS = 10.0


@contextmanager
def progress(
    description: str, *, total: int, start: int = 0, quiet: bool = False, first_after: float | None = None
) -> Iterator[Advance]:
    """Show how far a long job is.

    Yields `advance(steps, note="")`. `start` is where a resumed job begins: it counts as done but not in the
    speed that the time left is worked out from. Where lines are written, the first comes after `first_after` seconds.
    """
    if quiet:
        yield lambda steps=1, note="": None
    elif sys.stderr.isatty():
        with _bar(description, total, start) as advance:
            yield advance
    else:
        with _lines(description, total, start, _LINE_EVERY_SECONDS if first_after is None else first_after) as advance:
            yield advance


@contextmanager
def _bar(description: str, total: int, start: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(description, total=total, completed=start, note="")

        def advance(steps: int = 1, note: str = "") -> None:
            bars.update(task, advance=steps)
            if note:
                bars.update(task, note=note)

        yield advance


@contextmanager
def _lines(description: str, total: int, start: int, first_after: float) -> Iterator[Advance]:
    began = time.monotonic()
    last_said = began + first_after - _LINE_EVERY_SECONDS
    done = start

    def say(note: str) -> None:
        elapsed = time.monotonic() - began
        left = elapsed / max(done - start, 1) * max(total - done, 0)
        line = f"{description}: {done}/{total}, {elapsed:.0f} s, about {left:.0f} s left"
        print(", ".join([line, note] if note else [line]), file=sys.stderr, flush=True)

    def advance(steps: int = 1, note: str = "") -> None:
        nonlocal done, last_said
        done += steps
        if time.monotonic() - last_said >= _LINE_EVERY_SECONDS:
            last_said = time.monotonic()
            say(note)

    yield advance
    if time.monotonic() - began >= _LINE_EVERY_SECONDS:
        say("done")
