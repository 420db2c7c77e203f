"""A small made-up log, catalogue and encoder, and a recipe that turns them into a finished run in seconds."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from distilrec.data.synthetic import markov_world
from distilrec.run import pipeline
from distilrec.run.finished import Run
from distilrec.run.pipeline import run
from distilrec.run.recipe import Recipe, load_recipe

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
    "knowledge": {"soft_labels": "whole"},
    "distil": {"alpha": 0.7},
    "evaluate": {"cutoffs": [5, 10], "latency_requests": 10},
    "costs": None,
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


@dataclass(frozen=True)
class SmallWorld:
    """A folder with `world`, `encoder` and `recipe.yaml`."""

    folder: Path

    def recipe(self, *overrides: str) -> Recipe:
        return load_recipe(self.folder / "recipe.yaml", overrides)

    def run(self, out: Path, *overrides: str) -> tuple[Run, list[str]]:
        """A finished run and what it said."""
        said: list[str] = []
        return run(self.recipe(*overrides), out, say=said.append, quiet=True), said


def worked(said: list[str]) -> set[str]:
    """The stages that were not skipped."""
    return {line.partition(":")[0] for line in said if line.endswith((": started", ": resumed"))}


def pretend_latency(artefacts, histories, *, requests):
    """Measuring takes a process of its own, for seconds; one test does it in earnest."""
    return {name: [0.25] * requests for name in artefacts}


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Made once for all folders of tests that ask for it, and not to be changed."""
    os.environ["DISTILREC_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")
    folder = tmp_path_factory.getbasetemp() / "small"
    if not folder.exists():
        save_world(folder / "world")
        save_encoder(folder / "encoder")
        save_recipe(folder / "recipe.yaml")
    return SmallWorld(folder)


@pytest.fixture(scope="session")
def finished(small):
    """A finished run, not to be changed; `copied` is one to change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "milliseconds_of_requests", pretend_latency)
        return small.run(small.folder / "finished")[0]


@pytest.fixture
def copied(finished, tmp_path):
    """The folder of a finished run."""
    return shutil.copytree(finished.folder, tmp_path / "copied")


@pytest.fixture
def quick(monkeypatch):
    """Runs without the measurement of latency."""
    monkeypatch.setattr(pipeline, "milliseconds_of_requests", pretend_latency)
