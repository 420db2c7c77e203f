"""RecTools' metrics of ranked lists. Run in its environment: python metrics_rectools.py LISTS-FOLDER OUT.json

Heard: `answers.npy` [C], and `NAME.npy` [C, 10], rows of items, best first, -1 where a list is shorter. Answered: for
each NAME its mean NDCG@10 and Recall@10. `divide_by_achievable` divides by what a case could reach, as ours does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.metrics import NDCG, Recall, calc_metrics


def main() -> None:
    """Judge every list."""
    folder = Path(sys.argv[1])
    answers = np.load(folder / "answers.npy")
    asked = pd.DataFrame({Columns.User: np.arange(len(answers)), Columns.Item: answers})
    metrics = {"ndcg@10": NDCG(k=10, divide_by_achievable=True), "recall@10": Recall(k=10)}
    found = {}
    for path in sorted(folder.glob("*.npy")):
        if path.stem != "answers":
            lists = np.load(path)
            cases, places = np.nonzero(lists >= 0)
            shown = pd.DataFrame({Columns.User: cases, Columns.Item: lists[cases, places], Columns.Rank: places + 1})
            found[path.stem] = {name: float(value) for name, value in calc_metrics(metrics, shown, asked).items()}
    Path(sys.argv[2]).write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
