"""Evaluation of a hundred thousand users over a million items: memory, seconds a user, and how both grow.

Vectors of width 64 and histories of 20 items are drawn at random (speed does not depend on them). By default 1,024 of
the users are ranked for each size of the catalogue, and the seconds of all are worked out from those; `--users 100000`
ranks them all. `--plot` needs matplotlib.

Run: python benchmarks/evaluate_large.py
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from distilrec.evaluate.evaluation import evaluate
from distilrec.evaluate.products import Products
from distilrec.memory import peak_memory_bytes
from distilrec.types import Batch, Cases, Ragged

WIDTH, HISTORY, ALL_USERS = 64, 20, 100_000
SIZES = (125_000, 250_000, 500_000, 1_000_000)


def seconds_a_user(items: np.ndarray, users: np.ndarray) -> float:
    """Rank the items for every user."""
    draw = np.random.default_rng(1)
    drawn = draw.integers(0, len(items), (len(users), HISTORY + 1))
    drawn[:, -1] = (drawn[:, :-1].max(axis=1) + 1) % len(items)  # the answer is not in the history
    kept = ~(drawn[:, :-1] == drawn[:, -1:]).any(axis=1)
    cases = Cases(np.flatnonzero(kept), Ragged.of(drawn[kept, :-1]), Ragged.of(drawn[kept, -1:]))
    given = iter(
        np.array_split(users[kept], range(256, kept.sum(), 256))
    )  # histories are of one length: in their order

    def read(batch: Batch) -> np.ndarray:
        return next(given)

    began = time.perf_counter()
    evaluate(Products(items, read), cases)
    return (time.perf_counter() - began) / len(cases)


def plot(sizes: list[int], seconds: list[float], path: Path) -> None:
    """Milliseconds a user by size of the catalogue."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.add_subplot(xlabel="items (thousands)", ylabel="milliseconds a user", ylim=(0, 1100 * max(seconds)))
    axes.plot([size / 1000 for size in sizes], [1000 * value for value in seconds], marker="o")
    axes.set_xlim(0, None)
    figure.savefig(path)


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1024)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--plot", type=Path, help="where to draw milliseconds a user by size")
    arguments = parser.parse_args()
    draw = np.random.default_rng(0)
    users = draw.standard_normal((arguments.users, WIDTH), dtype=np.float32)
    items = draw.standard_normal((max(arguments.sizes), WIDTH), dtype=np.float32)
    before, seconds = peak_memory_bytes() or 0, []
    for size in arguments.sizes:
        seconds.append(seconds_a_user(items[:size], users))
        print(
            f"{size:,} items: {1000 * seconds[-1]:.2f} ms a user, {1e9 * seconds[-1] / size:.2f} ns an item; "
            f"{ALL_USERS:,} users would take {ALL_USERS * seconds[-1] / 60:.1f} min ({arguments.users:,} were ranked)"
        )
    grown = (peak_memory_bytes() or 0) - before
    print(f"peak memory beyond the vectors: {grown / 2**20:.0f} MiB")
    if arguments.plot:
        plot(arguments.sizes, seconds, arguments.plot)


if __name__ == "__main__":
    main()
