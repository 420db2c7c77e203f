"""RecBole's metrics of ranked lists. Run in its environment: python metrics_recbole.py LISTS-FOLDER OUT.json

Hears and answers what `metrics_rectools.py` does. RecBole rounds what it reports; `metric_decimal_place` asks for more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from recbole.evaluator import Evaluator
from recbole.evaluator.collector import DataStruct

np.float = float  # RecBole 1.2.1 asks for this name, which NumPy took away in 1.24


def main() -> None:
    """Judge every list."""
    folder = Path(sys.argv[1])
    answers = np.load(folder / "answers.npy")
    evaluator = Evaluator({"metrics": ["NDCG", "Recall"], "topk": [10], "metric_decimal_place": 8})
    found = {}
    for path in sorted(folder.glob("*.npy")):
        if path.stem != "answers":
            hits = np.load(path) == answers[:, None]  # [C, 10]
            struct = DataStruct()
            wanted = np.ones((len(hits), 1), dtype=np.int64)  # one item a case
            struct.set("rec.topk", torch.from_numpy(np.hstack([hits.astype(np.int64), wanted])))
            found[path.stem] = {name: float(value) for name, value in evaluator.evaluate(struct).items()}
    Path(sys.argv[2]).write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
