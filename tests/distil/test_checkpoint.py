"""A training run in one file: it comes back whole, and to its own run only."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from distilrec.distil import checkpoint
from distilrec.distil.checkpoint import Place
from distilrec.errors import TrainingError

PLACE = Place("mine", epoch=2, step=3, sums={"loss": 1 / 3}, seen_positions=40, best_score=0.1, best_epoch=1)


def trained(steps, *, start=0.0):
    """One weight that AdamW pulls up, and its optimiser."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, start)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    step(model, optimizer, steps)
    return model, optimizer


def step(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        (model.weight - 3).square().sum().backward()
        optimizer.step()


@pytest.fixture
def path(tmp_path):
    model, optimizer = trained(3)
    checkpoint.save(tmp_path / "run", PLACE, model, optimizer, {"weight": torch.tensor([[7.0]])})
    return tmp_path / "run"


def test_place_weights_optimiser_and_best_weights_come_back(path):
    model, optimizer = trained(0)
    place, best = checkpoint.load(path, "mine", model, optimizer)
    assert place == PLACE
    assert best["weight"].item() == 7.0
    whole, _ = trained(5)
    step(model, optimizer, 2)
    assert torch.equal(model.weight, whole.weight)


def test_there_is_nothing_to_resume_without_a_file(tmp_path):
    assert checkpoint.load(tmp_path / "run", "mine", *trained(0)) is None


def test_another_run_is_left_as_it_was(path):
    model, optimizer = trained(1)
    before = model.weight.item()
    assert checkpoint.load(path, "other", model, optimizer) is None
    assert model.weight.item() == before


def test_an_older_checkpoint_is_replaced_whole(path):
    checkpoint.save(path, Place("mine", epoch=9), *trained(1), {})
    place, best = checkpoint.load(path, "mine", *trained(0))
    assert (place.epoch, best) == (9, {})
    assert [file.name for file in path.parent.iterdir()] == ["run"]


def test_the_facts_are_plain_json_in_the_header(path):
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["place"])["sums"] == {"loss": 1 / 3}


@pytest.mark.parametrize(
    "metadata", [None, {"other": "1"}, {"place": "{"}, {"place": "[]"}, {"place": '{"identity": "mine", "epok": 1}'}]
)
def test_a_file_that_is_no_checkpoint_is_refused(path, metadata):
    save_file({"model.weight": torch.zeros(1, 1)}, path, metadata=metadata)
    with pytest.raises(TrainingError, match=r"run is damaged \(.*\); delete it to train from the start"):
        checkpoint.load(path, "mine", *trained(0))


def test_a_checkpoint_without_some_weights_is_refused(path):
    save_file({"best.weight": torch.zeros(1, 1)}, path, metadata={"place": '{"identity": "mine"}'})
    with pytest.raises(
        TrainingError, match=r"run is damaged \(it holds other arrays: weight\); delete it to train from the start"
    ):
        checkpoint.load(path, "mine", *trained(0))
