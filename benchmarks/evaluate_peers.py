"""Our evaluation beside RecBole's, RecTools' and ranx's, of the same scores of MovieLens-1M.

EASE scores all 3,416 items for each of 6,040 users; leave-last-out, histories excluded. Everybody judges these scores
by ten metrics at three cut-offs, ours and ranx by what they have (sixteen, seven), each peer in a process and an
environment of its own (built on first use), and the figures must agree. RecBole sorts whole lists for its GAUC;
RecTools judges lists of 20, which are found first (their time is told apart).

Run: python benchmarks/evaluate_peers.py --data PATH-TO-ML-1M
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from environment import FOLDER
from exchange import Exchange
from judges import ask, largest_difference

from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split
from distilrec.evaluate.accuracy import METRICS_AT_K
from distilrec.evaluate.beyond import Catalogue, beyond_accuracy
from distilrec.evaluate.evaluation import evaluate
from distilrec.evaluate.lists import TopLists
from distilrec.models.ease import EASE
from distilrec.types import Batch, Cases, Ragged

CUTOFFS = (5, 10, 20)
WORK = {"recbole": ("all",), "rectools": ("lists", "metrics"), "ranx": ("all",)}


class Scored:
    """Scores that are there already, for cases in the order in which they are asked for: the longest history first."""

    def __init__(self, scores: np.ndarray, cases: Cases) -> None:
        self.n_items = scores.shape[1]
        self._sorted = scores[np.argsort(-cases.histories.lengths, kind="stable")]
        self._given = 0

    def scores(self, batch: Batch) -> np.ndarray:
        """The next ones, [B, N]."""
        self._given += len(batch)
        return self._sorted[self._given - len(batch) : self._given]


def ours(held: Exchange, cases: Cases, train: Ragged) -> tuple[float, float, dict[str, float]]:
    """Seconds of all, seconds of the metrics alone once ranks and lists are there, and the mean of every metric."""
    scorer = Scored(held.scores, cases)
    counts = np.bincount(train.values, minlength=scorer.n_items)
    began = time.perf_counter()
    lists = TopLists(len(cases), scorer.n_items, k=max(CUTOFFS))
    found = evaluate(scorer, cases, cutoffs=CUTOFFS, watch=lists, quiet=True)
    ranked = time.perf_counter()
    shown = beyond_accuracy(lists.items, cases, Catalogue(counts, len(train)), cutoffs=CUTOFFS)
    found = found.with_columns(shown.per_case)
    means = found.per_user.select(found.metrics).mean().row(0, named=True)
    ended = time.perf_counter()
    ranks = Ragged((1 / found.values("mrr")).round().astype(np.int64), cases.relevant.offsets)  # one answer a case
    for k in CUTOFFS:  # once more, alone, what evaluate did with the ranks
        for metric in METRICS_AT_K.values():
            metric(ranks, k)
    return ended - began, time.perf_counter() - ranked, means | shown.totals


def prepare(data: Path) -> tuple[Exchange, Cases, Ragged]:
    """Scores and what they are judged by."""
    interactions, _ = read(data)
    parts = split(interactions, SplitSettings())
    model, cases = EASE.fit(parts.train, n_items=interactions.n_items), parts.test
    scores = model.scores(Batch.of_rows(cases.histories))
    pairs = [
        np.stack([np.repeat(np.arange(len(rows)), rows.lengths), rows.values], axis=1)
        for rows in (cases.histories, cases.relevant, parts.train)
    ]
    return Exchange(scores, *pairs), cases, parts.train


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ml-1m"))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the peers' environments lie")
    parser.add_argument("--peers", nargs="+", default=["recbole", "rectools", "ranx"], choices=list(WORK))
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    held, cases, train = prepare(arguments.data)
    place = arguments.folder / "ml-1m"
    held.save(place)
    print(f"{len(cases):,} users x {held.scores.shape[1]:,} items, cut-offs {CUTOFFS}, median of {arguments.repeats}")
    runs = [ours(held, cases, train) for _ in range(arguments.repeats)]
    seconds, alone, means = (
        statistics.median(run[0] for run in runs),
        statistics.median(run[1] for run in runs),
        runs[0][2],
    )
    n_metrics = len({name.partition("@")[0] for name in means})
    print(f"ours: {seconds:.3f} s, of which metrics of ranks and lists {alone:.3f} s; {n_metrics} metrics")
    for peer in arguments.peers:
        told = ask(peer, place, arguments.folder, ["--repeats", arguments.repeats])
        work = {name: statistics.median(run[name] for run in told["seconds"]) for name in WORK[peer]}
        metrics = {name.partition("@")[0] for name in told["metrics"]}
        off = largest_difference(peer, told["metrics"], means, CUTOFFS)
        parts = ", ".join(f"{name} {value:.3f} s ({value / seconds:.1f} times ours)" for name, value in work.items())
        print(f"{peer} {told['about'][peer]}: {parts}; {len(metrics)} metrics, at most {off:.1e} from ours")


if __name__ == "__main__":
    main()
