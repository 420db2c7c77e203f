"""Milliseconds of one request to an index, on one thread: the 100 best of a catalogue for a vector, 50 left out.

Each catalogue is searched in several ways in one process, ten requests each in turns, so that a slow moment of the
machine meets all:

- plain: `table @ vector` in float32 and numpy's argpartition, as one would write it down.
- flat: `FlatIndex` over float32 rows, and over int8 rows.
- scan: `FastScanIndex` over float32, int8 and int4 rows: 4-bit codes, then exact scores of a shortlist.

Tables are made up, of width 64. `clusters`: 200 items around each centre, centres and what is around them (0.7 times as
far) with variances that fall as 1 / j along random axes; vectors lie as far from random items as items from centres.
`isotropic`: independent normal numbers, the hardest case for codes.

Recall is the share of the ten best of the float32 product that are among the ten best found; `own` is that of the ten
best of the same rows, so it shows the scan alone. Energy is counted where the processor tells it, otherwise estimated.

Run: OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/search_speed.py
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distilrec.energy import joules_per_thousand, measure_energy
from distilrec.machine import processor
from distilrec.search import FastScanIndex, FlatIndex, FloatRows, ItemIndex, Rows, rows_of
from distilrec.storage import Form, Int4, Int8, Packed
from distilrec.types import FloatArray, IntArray

WIDTH, BEST, ASKED, EXCLUDED = 64, 100, 10, 50
IN_A_ROW = 10  # requests to one index before the next has its turn
CLUSTER = 200  # items around a centre
LARGEST_INT4 = 200_000  # items: storing more as int4 takes minutes
Search = Callable[[FloatArray], IntArray]


@dataclass(frozen=True)
class Way:
    """One way to search a catalogue."""

    name: str
    search: Search  # a vector [D] to row numbers, best first
    own: Search  # the same rows, every one of them scored
    nbytes: int
    build_seconds: float


def clusters(n_items: int, n_vectors: int, draw: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A table [N, D] like a trained one, and vectors [B, D] that lean towards its items."""
    scales = np.arange(1, WIDTH + 1) ** -0.5
    axes = np.linalg.qr(draw.standard_normal((WIDTH, WIDTH)))[0] * scales[:, None]  # scaled, then turned
    centres = draw.standard_normal((max(8, n_items // CLUSTER), WIDTH)).astype(np.float32)
    table = centres[draw.integers(0, len(centres), n_items)]
    table += 0.7 * draw.standard_normal(table.shape, dtype=np.float32)
    vectors = table[draw.integers(0, n_items, n_vectors)]
    vectors = vectors + 0.7 * draw.standard_normal(vectors.shape, dtype=np.float32)
    return table @ axes.astype(np.float32), vectors @ axes.astype(np.float32)


def isotropic(n_items: int, n_vectors: int, draw: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Independent normal numbers."""
    return (
        draw.standard_normal((n_items, WIDTH), dtype=np.float32),
        draw.standard_normal((n_vectors, WIDTH), dtype=np.float32),
    )


KINDS = {"clusters": clusters, "isotropic": isotropic}


def ways_to_search(table: FloatArray) -> list[Way]:
    """What is compared."""

    taboo = np.random.default_rng(1).choice(len(table), EXCLUDED, replace=False)

    def plain(vector: FloatArray) -> IntArray:
        scores = table @ vector
        scores[taboo] = -np.inf
        best = np.argpartition(scores, len(scores) - BEST)[-BEST:]
        return best[np.argsort(-scores[best])]

    found = [Way("plain float32", plain, plain, table.nbytes, 0.0)]
    forms: dict[str, Form | None] = {"float32": None, "int8": Int8()}
    if len(table) <= LARGEST_INT4:
        forms["int4"] = Int4()
    for name, form in forms.items():
        rows = FloatRows(table) if form is None else rows_of(Packed.of({"table.weight": table}, {"table.weight": form}))
        flat = asking(FlatIndex(rows), taboo)
        if name != "int4":
            found.append(way(f"flat {name}", FlatIndex, rows, flat, taboo))
        found.append(way(f"scan {name}", FastScanIndex, rows, flat, taboo))
    return found


def way(name: str, make: Callable[[Rows], ItemIndex], rows: Rows, own: Search, taboo: IntArray) -> Way:
    """Build an index and time that."""
    began = time.perf_counter()
    index = make(rows)
    return Way(name, asking(index, taboo), own, index.nbytes, time.perf_counter() - began)


def asking(index: ItemIndex, taboo: IntArray) -> Search:
    """Ask for the best of one vector."""
    return lambda vector: index.search(vector[None], BEST, exclude=[taboo])[0][0]


def shared(found: Search, expected: Search, vectors: FloatArray) -> float:
    """Which share of the ten best is found."""
    pairs = ((found(vector)[:ASKED], expected(vector)[:ASKED]) for vector in vectors)
    return float(np.mean([len(np.intersect1d(some, best)) / ASKED for some, best in pairs]))


def compare(table: FloatArray, vectors: FloatArray, requests: int) -> None:
    """Time every way, some requests each in turns, and print a line for each."""
    ways = ways_to_search(table)
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    joules = dict.fromkeys(seconds, 0.0)
    for start in range(0, requests, IN_A_ROW):
        for way in ways:
            way.search(vectors[start - 1])  # brings what the others pushed out back into the cache
            for vector in vectors[start : start + IN_A_ROW]:
                with measure_energy() as found:
                    began = time.perf_counter()
                    way.search(vector)
                    seconds[way.name].append(time.perf_counter() - began)
                joules[way.name] += joules_per_thousand(found.energy, requests)
    print(f"{'':14} {'p50 ms':>8} {'p99 ms':>8} {'J/1000':>7} {'recall':>7} {'own':>7} {'MB':>7} {'build s':>8}")
    for way in ways:
        p50, p99 = np.percentile(np.array(seconds[way.name]) * 1000, [50, 99])
        recall = shared(way.search, ways[0].search, vectors), shared(way.search, way.own, vectors)
        print(
            f"{way.name:14} {p50:8.3f} {p99:8.3f} {joules[way.name]:7.2f} {recall[0]:7.4f} {recall[1]:7.4f} "
            f"{way.nbytes / 1e6:7.1f} {way.build_seconds:8.2f}"
        )
    print(f"energy: {found.energy.label}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[12_101, 100_000, 1_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--requests", type=int, default=100)
    arguments = parser.parse_args()
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
    print(
        f"{processor()}, {threads} threads, numpy {np.__version__}, width {WIDTH}, the {BEST} best of one vector, "
        f"{EXCLUDED} items excluded"
    )
    for n_items in arguments.items:
        for kind in arguments.kinds:
            print(f"\n{n_items:,} items, {kind}")
            compare(*KINDS[kind](n_items, arguments.requests, np.random.default_rng(0)), arguments.requests)


if __name__ == "__main__":
    main()
