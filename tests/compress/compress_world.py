"""A walk round a circle of twelve items, students that know it, and what they are trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch

from distilrec.compress.methods import Retraining
from distilrec.distil.settings import TrainSettings
from distilrec.models.students import build_student, preset
from distilrec.recommender import Recommender
from distilrec.types import Batch, Ragged

N_ITEMS = 12
WALKS = Ragged.of([[(start + step) % N_ITEMS for step in range(4)] for start in range(N_ITEMS)] * 4)
ITEMS = pl.DataFrame(
    {
        "item_id": list(range(N_ITEMS)),
        "train_count": [*range(20, 20 - N_ITEMS, -1)],
        "category": ["even", "odd"] * (N_ITEMS // 2),
    }
)
BATCH = Batch.of([[1, 2], [5], [9, 10, 11]])


def knows_the_next(model: Any) -> float:
    """After item i, item i + 1 is ranked first: the share of items for which that is so."""
    best = model.scores(Batch.of([[item] for item in range(N_ITEMS)])).argmax(axis=1)
    return float((best == (np.arange(N_ITEMS) + 1) % N_ITEMS).mean())


def student(kind: str = "transformer", **changes: Any) -> Recommender:
    """One whose weights are far from zero, so that every part of it shows."""
    torch.manual_seed(0)
    settings = preset(kind, "tiny").with_changes(**{"width": 8, "max_length": 4, **changes})
    model = build_student(settings, N_ITEMS, sequences=WALKS)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Recommender(model.fold(), ITEMS)


def training(**changes: Any) -> Retraining:
    train = TrainSettings(epochs=3, batch_size=8, learning_rate=0.02, precision="float32")
    return Retraining(**{"sequences": WALKS, "validate": knows_the_next, "train": train, **changes})
