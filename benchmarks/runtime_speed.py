"""Milliseconds from outside ids to ranked outside ids, without torch and with it, and how long a model takes to load.

    python benchmarks/runtime_speed.py EXPORTED-FOLDER... [--requests 2000] [--rounds 3] [--threads 1]

Each folder is what `distilrec export` wrote. In one process: `Runtime.recommend` of every folder, the all-in-one graph
of the first, and `Recommender.recommend` of torch. They take turns of a hundred requests, so that a slow moment meets
them all; histories are of made-up users, as long as the model reads, one user at a time. Loading is timed in new
processes.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from distilrec.latency import ONE_THREAD
from distilrec.serve.all_in_one import AllInOne
from distilrec.serve.runtime import Runtime

Ask = Callable[[list[object]], object]
_TURN = 100  # requests
_LOAD = """
import sys, time
began = time.perf_counter()
from distilrec.serve.runtime import Runtime
imported = time.perf_counter()
runtime = Runtime.load(sys.argv[1])
loaded = time.perf_counter()
runtime.recommend([runtime.items["item_id"].head(3).to_list()])
memory = next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]
print(1000 * (imported - began), 1000 * (loaded - imported), 1000 * (time.perf_counter() - loaded), int(memory) / 1024)
"""


def main() -> None:
    """Measure and print."""
    options = _options()
    threads = dict.fromkeys(ONE_THREAD, str(options.threads))
    if not threads.items() <= os.environ.items():  # numerical libraries read them when they load
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **threads})
    first = Runtime.load(options.folders[0])
    print(f"{first.n_items:,} items, histories of {first.max_length}, ten items out, {options.threads} thread(s)")
    for folder in options.folders:
        _show_load(folder, options.rounds)
    asked = _histories(first, 256)
    for number in range(options.rounds):
        for name, seconds in timed(_all(options, first), asked, options.requests).items():
            p50, p95, p99 = np.percentile(1000 * np.array(seconds), [50, 95, 99])
            print(f"round {number + 1}  {name:34} p50 {p50:6.3f} ms  p95 {p95:6.3f} ms  p99 {p99:6.3f} ms")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without-torch", action="store_true")
    return parser.parse_args()


def _all(options: argparse.Namespace, first: Runtime) -> dict[str, Ask]:
    asks: dict[str, Ask] = {}
    for folder in options.folders:
        runtime = Runtime.load(folder, threads=options.threads)
        asks[f"runtime, {folder.name}"] = lambda ids, runtime=runtime: runtime.recommend([ids])
    graph = options.folders[0] / "all_in_one.onnx"
    if graph.is_file():
        length, rows = first.max_length, {item: row for row, item in enumerate(first.items["item_id"].to_list())}
        whole = AllInOne(graph.read_bytes(), n_items=first.n_items, max_length=length, threads=options.threads)
        counts = np.array([length])
        asks["all-in-one graph, from row numbers"] = lambda ids: whole.best(
            np.array([[rows[item] for item in ids]]), counts, 10
        )
    if not options.without_torch:
        asks["torch, Recommender.recommend"] = _torch(options.folders[0], options.threads)
    return asks


def _torch(folder: Path, threads: int) -> Ask:
    import torch

    from distilrec.recommender import Recommender

    torch.set_num_threads(threads)
    recommender = Recommender.from_pretrained(folder)
    return lambda ids: recommender.recommend(ids, k=10)


def _histories(runtime: Runtime, count: int) -> list[list[object]]:
    draw, ids = np.random.default_rng(0), runtime.items["item_id"].to_list()
    length = min(runtime.max_length, len(ids) - 10)
    return [[ids[row] for row in draw.choice(len(ids), length, replace=False)] for _ in range(count)]


def timed(
    asks: Mapping[str, Ask], asked: Sequence[list[object]], requests: int, *, turn_of: int = _TURN
) -> dict[str, list[float]]:
    """Seconds of each request; all take turns of some requests."""
    seconds: dict[str, list[float]] = {name: [] for name in asks}
    gc.freeze()  # what was loaded is not looked through again and again, as in the server
    for turn in range(-1, math.ceil(requests / turn_of)):  # the first turn warms up
        for name, ask in asks.items():
            found = [_seconds(ask, asked[(turn * turn_of + number) % len(asked)]) for number in range(turn_of)]
            seconds[name] += found if turn >= 0 else []
    return seconds


def _seconds(ask: Ask, ids: list[object]) -> float:
    began = time.perf_counter()
    ask(ids)
    return time.perf_counter() - began


def _show_load(folder: Path, rounds: int) -> None:
    found = []
    for _ in range(rounds):
        told = subprocess.run([sys.executable, "-c", _LOAD, str(folder)], capture_output=True, text=True, check=True)
        found.append([float(value) for value in told.stdout.split()])
    imported, loaded, asked, memory = np.median(found, axis=0)
    print(
        f"{folder.name}: import {imported:.0f} ms, load {loaded:.0f} ms, first answer {asked:.1f} ms, "
        f"{memory:.0f} MiB resident (medians of {rounds} processes)"
    )


if __name__ == "__main__":
    main()
