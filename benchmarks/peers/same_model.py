"""One SASRec in three libraries: width 64, one block, one head, 50 positions, 128 users a batch, Adam."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from distilrec.data.batches import Windows
from distilrec.models.transformer import Transformer, TransformerSettings

USERS_A_BATCH, LENGTH, WIDTH = 128, 50, 64
_RECTOOLS = {
    "n_factors": WIDTH,
    "n_blocks": 1,
    "n_heads": 1,
    "dropout_rate": 0.2,
    "session_max_len": LENGTH,
    "batch_size": USERS_A_BATCH,
}
_RECBOLE = {
    "n_layers": 1,
    "n_heads": 1,
    "hidden_size": WIDTH,
    "inner_size": WIDTH,
    "hidden_dropout_prob": 0.2,
    "attn_dropout_prob": 0.2,
    "loss_type": "CE",
    "MAX_ITEM_LIST_LENGTH": LENGTH,
}
NAMES = ("RecTools softmax", "RecTools sampled softmax", "RecBole cross-entropy")


@dataclass(frozen=True)
class Setup:
    """The model as one peer is told it."""

    library: str
    model: dict[str, Any]
    steps: int
    """How many of its steps take about as long as one of the slowest."""


def our_model(n_items: int, *, input_norm: bool = False) -> Transformer:
    """The model here, with its first weights. RecBole's normalises what it reads; RecTools' does not."""
    torch.manual_seed(0)
    return Transformer(TransformerSettings(width=WIDTH, max_length=LENGTH, input_norm=input_norm), n_items)


def setups(windows: Windows) -> dict[str, Setup]:
    """By what they are called. RecBole has no users in a batch but prefixes: as many as that many users have."""
    prefixes = round(USERS_A_BATCH * int(windows.positions.sum()) / len(windows))
    found = (
        Setup("rectools", {**_RECTOOLS, "loss": "softmax"}, 1),
        Setup("rectools", {**_RECTOOLS, "loss": "sampled_softmax", "n_negatives": 256}, 2),
        Setup("recbole", {**_RECBOLE, "train_batch_size": prefixes}, 4),
    )
    return dict(zip(NAMES, found, strict=True))
