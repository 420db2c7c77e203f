"""Real models judged by RecBole, RecTools and ranx beside us: the same scores, every metric that is the same thing.

The trained models of runs score the whole catalogue for test users; each peer, in its own environment (built on first
use), ranks these scores and judges by its own metrics. Baselines that give many items the same score are left out:
peers leave open what they do with ties.

Run: python benchmarks/peers/judge_runs.py RUN [RUN ...] --users 2000
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from environment import FOLDER
from exchange import Exchange
from judges import SAME, ask, largest_difference

from distilrec.evaluate.evaluation import evaluate
from distilrec.recommender import Recommender
from distilrec.run.lists import artefact_of
from distilrec.run.stages import load_prepared
from distilrec.types import Batch, Cases, Ragged

CUTOFFS = (5, 10, 20)
TRAINED = ("distilled", "student_alone", "teacher")


def some(cases: Cases, most: int) -> Cases:
    """Cases spread evenly, in their order."""
    rows = np.unique(np.linspace(0, len(cases) - 1, num=min(most, len(cases)), dtype=np.int64))
    return Cases(cases.users[rows], cases.histories.take(rows), cases.relevant.take(rows))


def pairs(rows: Ragged) -> np.ndarray:
    """Case and item of each, [pairs, 2]."""
    return np.stack([np.repeat(np.arange(len(rows)), rows.lengths), rows.values], axis=1)


def judged(run: Path, users: int, venvs: Path) -> list[str]:
    """A line for each model: our figures, and how far the peers' are from them."""
    prepared = load_prepared(run / "data")
    cases, lines = some(prepared.split.test, users), []
    print(f"{run.name}: {len(cases):,} users x {prepared.interactions.n_items:,} items, cut-offs {CUTOFFS}")
    for name in TRAINED:
        recommender = Recommender.from_pretrained(artefact_of(run, name))
        found = evaluate(recommender, cases, cutoffs=CUTOFFS, quiet=True)
        ours = {metric: found.mean(metric) for metric in found.metrics}
        scores = recommender.scores(Batch.of_rows(cases.histories, max_length=recommender.max_length))
        with tempfile.TemporaryDirectory() as place:
            held = Exchange(scores, pairs(cases.histories), pairs(cases.relevant), pairs(prepared.split.train))
            held.save(Path(place))
            off = {
                peer: largest_difference(peer, ask(peer, Path(place), venvs)["metrics"], ours, CUTOFFS) for peer in SAME
            }
        told = [f"{ours['ndcg@10']:.6f}", f"{ours['recall@10']:.6f}", *(f"{value:.1e}" for value in off.values())]
        lines.append(f"| {run.name} | {name.replace('_', ' ')} | {' | '.join(told)} |")
    return lines


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--users", type=int, default=2000, help="how many test users of each run, at most")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the peers' environments lie")
    arguments = parser.parse_args()
    lines = [line for run in arguments.runs for line in judged(run, arguments.users, arguments.folder)]
    head = ["run", "model", "our NDCG@10", "our Recall@10", *(f"{peer}, at most off" for peer in SAME)]
    print(f"\n| {' | '.join(head)} |")
    print("| --- | --- |" + " ---: |" * (2 + len(SAME)))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
