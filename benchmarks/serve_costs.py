"""Processor time of an answer within one process, without sockets: what batches and the door save.

    python benchmarks/serve_costs.py EXPORTED-FOLDER

Time of the processor, not of the clock, so that a busy machine changes little; the best of five rounds.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import orjson

from distilrec.serve.app import make_application
from distilrec.serve.door import Application, Message, Scope
from distilrec.serve.model import InUse
from distilrec.serve.runtime import Runtime
from distilrec.serve.settings import ServeSettings

_QUESTIONS, _ROUNDS = 64, 5


def main(folder: Path) -> None:
    """Measure and print."""
    runtime = Runtime.load(folder)
    draw, ids = np.random.default_rng(0), runtime.items["item_id"]
    histories = [ids.gather(draw.integers(0, len(ids), size=draw.integers(1, 51))).to_list() for _ in range(_QUESTIONS)]
    for size in (1, 4, 16, 32):
        parts = [histories[start : start + size] for start in range(0, _QUESTIONS, size)]
        spent = _best(lambda parts=parts: [runtime.recommend(part) for part in parts])
        print(f"the model alone, batches of {size:2}: {spent:.3f} ms a question")
    bodies = [orjson.dumps({"history": history}) for history in histories]
    with tempfile.TemporaryDirectory() as place:
        door = make_application(InUse(runtime), ServeSettings(store=f"sqlite:///{place}/events.db"))
        for name in ("straight from the door", "through the framework"):
            for at_once in (1, 16):
                spent = _best(lambda at_once=at_once: asyncio.run(_ask_all(door, bodies, at_once)))
                print(f"a request, {name}, {at_once:2} at once: {spent:.3f} ms")
            door._direct = {}  # type: ignore[attr-defined]


def _best(work: Callable[[], object]) -> float:
    """Milliseconds of processor time a question."""
    work()
    spent = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        work()
        spent.append((time.process_time() - began) / _QUESTIONS * 1000)
    return min(spent)


async def _ask_all(door: Application, bodies: Sequence[bytes], at_once: int) -> None:
    for start in range(0, len(bodies), at_once):
        await asyncio.gather(*(_ask(door, body) for body in bodies[start : start + at_once]))


async def _ask(door: Application, body: bytes) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        assert message.get("status", 200) == 200

    path = "/recommend"
    scope: Scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": []}
    scope |= {"query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1"}
    await door(scope, receive, send)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
