"""Small students of every kind, exported once for all tests that serve them."""

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from distilrec.models.students import build_student, preset
from distilrec.recommender import Recommender
from distilrec.run.exporting import ExportSettings, export
from distilrec.types import Ragged

N_ITEMS, MAX_LENGTH = 30, 6
KINDS = {
    "transformer": ("transformer", {}),
    "hstu, relative": ("transformer", {"block": "hstu", "positions": "relative"}),
    "ligr": ("transformer", {"block": "ligr"}),
    "input norm": ("transformer", {"input_norm": True}),
    "gru": ("gru", {}),
    "lstm": ("gru", {"cell": "lstm"}),
    "linear_recurrence": ("linear_recurrence", {}),
    "cnn": ("cnn", {}),
    "caser": ("cnn", {"form": "caser"}),
    "two_tower": ("two_tower", {}),
    "linear": ("linear", {}),
    "matrix_factorisation": ("matrix_factorisation", {}),
    "tied": ("matrix_factorisation", {"tables": "tied"}),
    "lightgcn": ("lightgcn", {}),
}
"""Students by what tells them apart: kind, and settings."""
QUICK = ("transformer", "gru", "linear_recurrence", "matrix_factorisation")
"""One of each way to export: plain, by ONNX's own operator, by another formula, with a table of its own."""
ITEMS = pl.DataFrame(
    {
        "item_id": [100 + row for row in range(N_ITEMS)],
        "train_count": [N_ITEMS - row for row in range(N_ITEMS)],
        "genre": ["even" if row % 2 == 0 else "odd" for row in range(N_ITEMS)],
        "tags": [["all", f"third {row % 3}"] for row in range(N_ITEMS)],
    }
)


def student(name):
    """A folded student whose weights are far from zero, so that every part of it shows."""
    kind, form = KINDS[name]
    torch.manual_seed(0)
    settings = preset(kind, "tiny").with_changes(width=8, max_length=MAX_LENGTH, **form)
    model = build_student(settings, N_ITEMS, sequences=Ragged.of([[0, 1, 2, 3], [4, 5, 6, 7]])).fold()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


def recommender(name):
    """The student and its catalogue."""
    return Recommender(student(name), ITEMS)


def histories(*lengths):
    """Row numbers, one history of each length."""
    draw = np.random.default_rng(0)
    return [draw.choice(N_ITEMS, size=length, replace=False) for length in lengths]


@pytest.fixture(scope="session")
def shared_exports(tmp_path_factory):
    """Gives the folder of a student's export, which is made once and not to be changed."""
    root = tmp_path_factory.mktemp("exports")

    def made(name):
        folder = root / name.replace(" ", "_")
        if not folder.exists():
            recommender(name).save_pretrained(root / f"{folder.name}-model")
            export(root / f"{folder.name}-model", folder, ExportSettings(histories=20))
        return folder

    return made
