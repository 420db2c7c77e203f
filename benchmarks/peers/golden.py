"""Make the golden vectors: what RecBole, RecTools and ranx say of a few small lists, for tests that need none of them.

Run: python benchmarks/peers/golden.py        (writes tests/evaluate/golden/)

Two worlds of 25 cases and 40 items: one relevant item a case, and one to six. No two scores of a case are equal, since
peers leave open what they do with ties.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from environment import FOLDER, HERE
from exchange import Exchange
from judges import SAME, ask

CASES, ITEMS, CUTOFFS = 25, 40, (1, 5, 10)
GOLDEN = HERE.parents[1] / "tests" / "evaluate" / "golden"


def world(most_relevant: int, seed: int) -> Exchange:
    """Scores, histories and answers drawn at random; every user trains on the history."""
    draw = np.random.default_rng(seed)
    scores = draw.permuted(np.tile(np.arange(ITEMS, dtype=np.float32), (CASES, 1)), axis=1)
    history, relevant = [], []
    for case in range(CASES):
        items = draw.permutation(ITEMS)
        n_relevant, n_history = int(draw.integers(1, most_relevant + 1)), int(draw.integers(2, 12))
        relevant += [(case, item) for item in items[:n_relevant]]
        history += [(case, item) for item in items[n_relevant : n_relevant + n_history]]
    pairs = [np.array(sorted(rows), dtype=np.int64) for rows in (history, relevant)]
    return Exchange(scores, *pairs, train=pairs[0])


def main() -> None:
    """Ask every peer about both worlds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the peers' environments lie")
    arguments = parser.parse_args()
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, most_relevant, seed in (("one", 1, 0), ("several", 6, 1)):
        held, place = world(most_relevant, seed), arguments.folder / "golden" / name
        held.save(place)
        found = {}
        for peer in SAME:
            told = ask(peer, place, arguments.folder, ["--cutoffs", *CUTOFFS])
            found[peer] = {"metrics": told["metrics"], "version": told["about"][peer]}
        lists = {
            "scores": held.scores.astype(int).tolist(),
            "history": held.history.tolist(),
            "relevant": held.relevant.tolist(),
        }
        (GOLDEN / f"{name}.json").write_text(json.dumps({"lists": lists, "peers": found}) + "\n")
        print(f"wrote {GOLDEN / name}.json")


if __name__ == "__main__":
    main()
