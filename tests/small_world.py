"""A small made-up log, catalogue and encoder, and a recipe that turns them into a finished run in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import yaml

from distilrec.data.synthetic import markov_world

WORDS = ["amber", "birch", "coral", "delta", "thing", *"0123456789", *(f"##{digit}" for digit in "0123456789")]
TINY: dict[str, Any] = {
    "name": "Small world",
    "data": {"path": "world"},
    "encode": {"model": "encoder", "template": "{title}"},
    "teacher": {
        "model": {"width": 16, "heads": 2, "max_length": 10},
        "content_width": 6,
        "train": {"epochs": 2, "batch_size": 16},
    },
    "student": {"model": {"width": 8, "max_length": 10}, "train": {"epochs": 2, "batch_size": 16}},
    "evaluate": {"cutoffs": [5, 10], "latency_requests": 10},
}


def save_world(folder: Path, *, seed: int = 0) -> Path:
    """A log and its catalogue, as CSV files that are recognised by their names."""
    made = markov_world(n_users=60, n_items=24, length=10, seed=seed)
    ids = [made.users["user_id"].gather(made.events["user"]), made.items["item_id"].gather(made.events["item"])]
    folder.mkdir(parents=True)
    pl.DataFrame([*ids, made.events["timestamp"]]).write_csv(folder / "interactions.csv")
    made.items.write_csv(folder / "items.csv")
    return folder


def save_encoder(folder: Path) -> Path:
    """A BERT of two thin layers that knows the words of the titles."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = {word: row for row, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=24,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    BertTokenizer(vocab=vocabulary, model_max_length=24).save_pretrained(folder)
    return folder


def save_recipe(path: Path) -> Path:
    """The recipe, whose paths are those of the world and the encoder beside it."""
    path.write_text(yaml.safe_dump(TINY, sort_keys=False), encoding="utf-8")
    return path
