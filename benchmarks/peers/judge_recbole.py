"""Judge scores by RecBole's full-sort evaluation. Runs in RecBole's environment.

Its own Collector and Evaluator are called as its Trainer calls them, on batches of 512 users: its default of 4,096
scores a batch would be one user at a time here. Item n is RecBole's n + 1, since it keeps 0 for padding; shifting the
scores is not in the time.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from exchange import Clock, Exchange, answer

np.float, np.bool, np.int = np.float64, np.bool_, np.int64  # as RecBole's Config does; its metrics use them

import recbole  # noqa: E402
import torch  # noqa: E402
from recbole.evaluator import Collector, Evaluator  # noqa: E402

METRICS = [
    *("Recall", "MRR", "NDCG", "Hit", "Precision", "MAP", "GAUC"),
    *("ItemCoverage", "AveragePopularity", "GiniIndex"),
]
ALSO = ["ShannonEntropy"]
BATCH = 512


class Config(dict):
    """What Collector and Evaluator read of RecBole's Config."""

    def __missing__(self, key: str) -> None:
        return None


def judge(held: Exchange, cutoffs: list[int], metrics: list[str]) -> tuple[Clock, dict[str, float]]:
    """Seconds and values."""
    n_cases, n_items = held.scores.shape
    config = Config(
        metrics=metrics,
        topk=cutoffs,
        metric_decimal_place=12,
        device=torch.device("cpu"),
        eval_args={"mode": "full"},
    )
    counts = Counter((held.train[:, 1] + 1).tolist())
    shifted = np.concatenate([np.zeros((n_cases, 1), dtype=np.float32), held.scores], axis=1)
    clock = Clock()
    with clock.time("all"):
        collector, evaluator = Collector(config), Evaluator(config)
        for begin in range(0, n_cases, BATCH):
            scores = torch.from_numpy(shifted[begin : begin + BATCH])
            scores[:, 0] = -np.inf
            seen_by, seen = held.parts(held.history, begin, begin + BATCH)
            scores[torch.from_numpy(seen_by), torch.from_numpy(seen + 1)] = -np.inf
            positive_u, positive_i = held.parts(held.relevant, begin, begin + BATCH)
            collector.eval_batch_collect(scores, None, torch.from_numpy(positive_u), torch.from_numpy(positive_i + 1))
        collected = collector.get_data_struct()
        collected.set("data.num_items", n_items)  # not before: 1.2.1 calls .cpu() on all that is in there
        collected.set("data.count_items", counts)
        found = evaluator.evaluate(collected)
    return clock, {name: float(value) for name, value in found.items()}


def main() -> None:
    """Judge a folder and write the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cutoffs", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    held = Exchange.load(arguments.folder)
    runs = [judge(held, arguments.cutoffs, METRICS) for _ in range(arguments.repeats)]
    _, more = judge(held, arguments.cutoffs, ALSO)
    answer(arguments.out, [clock for clock, _ in runs], runs[0][1] | more, {"recbole": recbole.__version__})


if __name__ == "__main__":
    main()
