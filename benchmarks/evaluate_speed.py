"""Seconds and memory to rank the whole catalogue for every test user.

Evaluates an untrained student of width 64 (its speed does not depend on what it learnt) on the test cases of a
leave-last-out split, with all metrics at three cut-offs and the history excluded.

Run: python benchmarks/evaluate_speed.py --data PATH-TO-AMAZON-BEAUTY
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import torch

from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split
from distilrec.evaluate.evaluation import evaluate
from distilrec.models.transformer import Transformer, TransformerSettings

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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for repeat in range(arguments.repeats):
        began = time.perf_counter()
        found = evaluate(model, cases, quiet=True)
        seconds = time.perf_counter() - began
        found.summary()
        both = time.perf_counter() - began
        print(
            f"run {repeat}: {len(cases):,} users x {interactions.n_items:,} items, {len(found.metrics)} metrics: "
            f"{seconds:.2f} s, with bootstrap intervals {both:.2f} s"
        )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"peak memory beyond what was there before: {grown / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
