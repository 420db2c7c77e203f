"""Seconds and memory to rank the whole catalogue for every test user.

Evaluates an untrained student of width 64 (its speed does not depend on what it learnt) on the test cases of a
leave-last-out split, with all metrics at three cut-offs and the history excluded: by whole rows of scores, as any
scorer is, and as products of vectors, as a saved model is, in turns.

Run: python benchmarks/evaluate_speed.py --data PATH-TO-AMAZON-BEAUTY
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import polars as pl
import torch

from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split
from distilrec.evaluate.evaluation import evaluate
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.recommender import POPULARITY_COLUMN, Recommender

MIB = 1024  # ru_maxrss counts KiB on Linux


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/amazon-beauty"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    interactions, _ = read(arguments.data)
    cases = split(interactions, SplitSettings()).test
    torch.manual_seed(0)
    model = Transformer(TransformerSettings(), interactions.n_items)
    items = interactions.items.select("item_id").with_columns(pl.lit(1).alias(POPULARITY_COLUMN))
    ways = {"rows of scores": model, "products": Recommender(model, items)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for repeat in range(arguments.repeats):
        for way, scorer in ways.items():
            began = time.perf_counter()
            found = evaluate(scorer, cases, quiet=True)
            seconds = time.perf_counter() - began
            found.summary()
            both = time.perf_counter() - began
            print(
                f"run {repeat}, {way}: {len(cases):,} users x {interactions.n_items:,} items, {len(found.metrics)} "
                f"metrics: {seconds:.2f} s, with bootstrap intervals {both:.2f} s"
            )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"peak memory beyond what was there before: {grown / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
