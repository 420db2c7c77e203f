"""Judge scores by ranx. Runs in ranx's environment. Its first run compiles; only the repeats after it are told."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
from exchange import Clock, Exchange, answer
from ranx import Qrels, Run, evaluate

METRICS = ["recall", "precision", "hit_rate", "f1", "ndcg", "map", "mrr"]


def judge(held: Exchange, cutoffs: list[int], length: int) -> tuple[Clock, dict[str, float]]:
    """Seconds and values, of the best `length` items of each case."""
    clock = Clock()
    with clock.time("all"):
        left = held.scores.copy()
        left[held.history[:, 0], held.history[:, 1]] = -np.inf
        items = np.argpartition(-left, length, axis=1)[:, :length]
        lists = {
            str(case): {str(item): float(left[case, item]) for item in row if np.isfinite(left[case, item])}
            for case, row in enumerate(items)
        }
        chosen: dict[str, dict[str, int]] = {}
        for case, item in held.relevant.tolist():
            chosen.setdefault(str(case), {})[str(item)] = 1
        names = [f"{name}@{k}" for k in cutoffs for name in METRICS]
        found = evaluate(Qrels(chosen), Run(lists), names, make_comparable=True)
    return clock, {name: float(value) for name, value in found.items()}


def main() -> None:
    """Judge a folder and write the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cutoffs", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    held = Exchange.load(arguments.folder)
    runs = [judge(held, arguments.cutoffs, max(arguments.cutoffs)) for _ in range(arguments.repeats + 1)]
    answer(arguments.out, [clock for clock, _ in runs[1:]], runs[0][1], {"ranx": version("ranx")})


if __name__ == "__main__":
    main()
