"""Evaluations whose values a test chooses."""

import numpy as np
import polars as pl

from distilrec.evaluate.evaluation import Evaluation

PROTOCOL = {
    "split": "test",
    "exclude_history": True,
    "n_items": 9,
    "cutoffs": [10],
    "ties": "against the model",
    "cases": "a digest",
}


def evaluation(values, metric="ndcg@10", **protocol):
    """One value a user, for users 0, 1, ..."""
    frame = pl.DataFrame(
        {
            "user": np.arange(len(values)),
            "history_length": np.ones(len(values), dtype=np.int64),
            "n_relevant": np.ones(len(values), dtype=np.int64),
            metric: np.asarray(values, dtype=np.float64),
        }
    )
    return Evaluation(frame, {**PROTOCOL, **protocol})
