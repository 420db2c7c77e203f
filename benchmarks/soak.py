"""A real server for minutes under steady load, with faults in turns: `make soak ARGS="--minutes 10"`.

    python benchmarks/soak.py [EXPORTED-FOLDER] [--minutes 10] [--store postgresql://USER@HOST/DATABASE]

Runs `distilrec serve FOLDER --workers 2 --watch`, without a folder on a tiny student made here, which needs torch.
Stops by itself; prints what was done, promised, and happened; the exit code is 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table
from soaking.faults import FAULTS, Scene
from soaking.ledger import Ledger, compare, stored_ids
from soaking.load import CUT, Answers, Asker, Client, Sender
from soaking.memory import MemoryWatch
from soaking.models import make_tiny
from soaking.promises import BrokenPromiseError, Promise, demand
from soaking.server import Server

_SENDERS, _ASKERS = 3, 3
_EXPECTED = {200, 404, 503, CUT}  # 404: of a user whose first event is not there yet


@dataclass(frozen=True)
class Options:
    """How long, on what, and how hard."""

    minutes: float = 10.0
    folder: Path | None = None
    """What `distilrec export` wrote; none makes a tiny student."""
    store: str | None = None
    """The address of a database; none is SQLite in a temporary folder."""
    workers: int = 2
    rate: float = 20.0
    """Requests a second of each of six clients."""
    hold_seconds: float = 7.0
    """How long a worker is frozen and the store is locked; above 5 s SQLite gives up waiting."""
    growth_mib: float = 32.0
    """How much larger a worker may become after every fault was seen once."""
    pause_seconds: float = 2.0
    """Between two faults."""


def main() -> int:
    """Soak, print, and return the exit code."""
    options = _options()
    try:
        promises = soak(options)
    except BrokenPromiseError as error:
        sys.exit(f"the server did not start: {error}")
    show(promises, Console(width=160))
    return exit_code(promises)


def exit_code(promises: Sequence[Promise]) -> int:
    """1 where a promise was broken."""
    return int(any(promise.broken for promise in promises))


def soak(options: Options) -> list[Promise]:
    """Run a server under load and faults, and return what became of its promises."""
    with tempfile.TemporaryDirectory(prefix="distilrec-soak-") as name:
        place = Path(name)
        good = options.folder or place / "tiny"
        if options.folder is None:
            make_tiny(good)
        shutil.copytree(good, place / "served")
        store = options.store or f"sqlite:///{place / 'events.db'}"
        body_seconds = min(2.0, options.hold_seconds)
        settings = {"body_seconds": body_seconds, "watch_seconds": 0.2}
        with Server(place / "served", store, workers=options.workers, settings=settings) as server:
            ids = pl.read_parquet(good / "items.parquet")["item_id"].to_list()
            ledger, answers = Ledger(f"soak-{uuid.uuid4().hex[:8]}"), Answers()
            scene = Scene(server, answers, ledger, ids, good, options.hold_seconds, body_seconds, random.Random(0))
            return _under_load(scene, options)


def _under_load(scene: Scene, options: Options) -> list[Promise]:
    clients, began = _clients(scene, options.rate), time.monotonic()
    memory = MemoryWatch(scene.server)
    for client in (*clients, memory):
        client.start()
    promises = [Promise(done, promised) for done, (promised, _) in FAULTS.items()]
    ends = began + options.minutes * 60
    while True:  # at least one round
        for promise in promises:
            if promise.times and time.monotonic() > ends:
                break
            time.sleep(options.pause_seconds)
            happened = promise.hold(partial(FAULTS[promise.done][1], scene))
            print(f"{time.monotonic() - began:6.0f} s  {promise.done}: {happened}", flush=True)
        memory.warm()
        sizes = ", ".join(f"{size:.0f}" for size in memory.sizes_mib().values())
        print(f"{time.monotonic() - began:6.0f} s  workers have {sizes} MiB, the oldest first")
        if time.monotonic() > ends:
            break
    for client in clients:
        client.stop()
    for client in clients:
        client.join()
    return [*promises, *_in_the_end(scene, memory, options, time.monotonic() - began)]


def _clients(scene: Scene, rate: float) -> list[Client]:
    port, answers, ids = scene.server.port, scene.answers, scene.ids
    senders = [
        Sender(port, answers, rate, ledger=scene.ledger, name=f"sender{number}", ids=ids) for number in range(_SENDERS)
    ]
    users = [f"{scene.ledger.run}-sender{number}" for number in range(_SENDERS)]
    askers = [Asker(port, answers, rate, users=users, ids=ids, seed=number) for number in range(_ASKERS)]
    return [*senders, *askers]


def _in_the_end(scene: Scene, memory: MemoryWatch, options: Options, seconds: float) -> list[Promise]:
    """Promises about the whole time, rather than about one fault."""

    def answered() -> str:
        return judge_answers(scene.answers, seconds)

    def grown() -> str:
        return memory.judge(options.growth_mib)

    def stopped() -> str:
        code, faults = scene.server.stop(), scene.server.exceptions()
        demand(code == 0, f"exit code {code}")
        demand(not faults, f"tracebacks in the log: {faults[:3]}")
        return "exit code 0, no traceback in the log"

    def kept() -> str:
        compared = compare(scene.ledger, stored_ids(scene.server.store))
        demand(compared.agree, compared.told())
        return compared.told()

    found = []
    for work, done, promised in (
        (answered, "steady load throughout", "200, or 503; broken off only by a kill"),
        (grown, "resident memory of every worker", f"at most {options.growth_mib:g} MiB more than in the first round"),
        (stopped, "SIGTERM", "a clean end"),
        (kept, "the ledger beside the store", "no acknowledged event lost, none twice"),
    ):
        found.append(Promise(done, promised))
        found[-1].hold(work)
    return found


def judge_answers(answers: Answers, seconds: float) -> str:
    """What steady clients were answered.

    Raises:
        BrokenPromiseError: a good request got another status than it may.
    """
    total = sum(answers.statuses.values())
    by_status = Counter[int]()
    for (_, status), count in answers.statuses.items():
        by_status[status] += count
    names = {status: "broken off" if status == CUT else f"x {status}" for status in by_status}
    told = ", ".join(f"{by_status[status]} {names[status]}" for status in sorted(by_status))
    bad = {key: count for key, count in answers.statuses.items() if key[1] not in _EXPECTED}
    demand(not bad, f"{told}; {bad}")
    demand(not answers.mute, f"{told}; {answers.mute} x 503 without Retry-After")
    demand(not answers.unexcused, f"{told}; {answers.unexcused} broken off though no worker had been killed")
    return f"{total} requests, {total / seconds:.0f} a second: {told}"


def show(promises: Sequence[Promise], console: Console) -> None:
    """Print the table of faults."""
    table = Table("done", "promised", "happened (the last time)", "kept")
    for promise in promises:
        table.add_row(*promise.cells(), style="bold red" if promise.broken else None)
    console.print(table)
    broken = sum(len(promise.broken) for promise in promises)
    console.print("every promise was kept" if not broken else f"promises broken: {broken}")


def _options() -> Options:
    default, parser = Options(), argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="what `distilrec export` wrote; none makes a tiny student")
    parser.add_argument("--minutes", type=float, default=default.minutes, help="how long; one round of faults at least")
    parser.add_argument("--store", help="a database, which keeps the events; left out, SQLite in a temporary folder")
    parser.add_argument("--workers", type=int, default=default.workers, help="two or more, since one is killed")
    parser.add_argument("--rate", type=float, default=default.rate, help="requests a second of each of six clients")
    parser.add_argument("--hold-seconds", type=float, default=default.hold_seconds, help="of a freeze, and of a lock")
    parser.add_argument("--growth-mib", type=float, default=default.growth_mib, help="by which a worker may grow")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
