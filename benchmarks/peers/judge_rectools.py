"""Judge scores by RecTools' metrics. Runs in RecTools' environment.

RecTools judges lists, so the best items of each case are found first, with NumPy; both times are told. Where one of its
defaults differs from ours in definition, the value with the other definition is told too, out of the time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import rectools
from exchange import Clock, Exchange, answer
from rectools import Columns
from rectools.metrics import (
    MAP,
    MRR,
    NDCG,
    AvgRecPopularity,
    CatalogCoverage,
    F1Beta,
    HitRate,
    MeanInvUserFreq,
    Precision,
    Recall,
    Serendipity,
    calc_metrics,
)

TIMED = {
    "recall": Recall,
    "precision": Precision,
    "hit_rate": HitRate,
    "f1": F1Beta,
    "ndcg": NDCG,
    "map": MAP,
    "mrr": MRR,
    "popularity": AvgRecPopularity,
    "novelty": MeanInvUserFreq,
    "coverage": CatalogCoverage,
}


def best(held: Exchange, k: int) -> pd.DataFrame:
    """The best k items of each case that are not in its history."""
    n_cases = len(held.scores)
    left = held.scores.copy()
    left[held.history[:, 0], held.history[:, 1]] = -np.inf
    items = np.argpartition(-left, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(left, items, axis=1), axis=1)
    items = np.take_along_axis(items, order, axis=1)
    cases, ranks = np.repeat(np.arange(n_cases), k), np.tile(np.arange(1, k + 1), n_cases)
    return pd.DataFrame({Columns.User: cases, Columns.Item: items.ravel(), Columns.Rank: ranks})


def judge(held: Exchange, cutoffs: list[int]) -> tuple[Clock, dict[str, float]]:
    """Seconds and values."""
    chosen = pd.DataFrame(held.relevant, columns=[Columns.User, Columns.Item])
    before = pd.DataFrame(held.train, columns=[Columns.User, Columns.Item])
    catalog, clock = np.arange(held.scores.shape[1]), Clock()
    with clock.time("lists"):
        lists = best(held, max(cutoffs))
    with clock.time("metrics"):
        timed = {f"{name}@{k}": metric(k=k) for name, metric in TIMED.items() for k in cutoffs}
        found = calc_metrics(timed, lists, chosen, before, catalog)
    others = {f"ndcg_achievable@{k}": NDCG(k=k, divide_by_achievable=True) for k in cutoffs}
    others |= {f"serendipity@{k}": Serendipity(k=k) for k in cutoffs}
    found |= calc_metrics(others, lists, chosen, before, catalog)
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
    runs = [judge(held, arguments.cutoffs) for _ in range(arguments.repeats)]
    answer(arguments.out, [clock for clock, _ in runs], runs[0][1], {"rectools": rectools.__version__})


if __name__ == "__main__":
    main()
