"""What peers with epochs share: when they stop, what they keep, and that a killed training goes on as if it was not."""

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers" / "theirs"))
from curve import Curve
from files import Cases, Heard

N_ITEMS = 12
SETTINGS = {"epochs": 6, "patience": 6, "minutes": 10.0}


@pytest.fixture
def heard():
    rows = [np.array([user % 11, (user + 1) % 11]) for user in range(20)]  # item 11 is never taken
    users = np.arange(20)
    cases = Cases(users, rows, np.array([(user + 2) % 11 for user in range(20)]))
    return Heard(N_ITEMS, users, rows, cases, cases)


class Training:
    """Random walks of an item table: every epoch draws from all three sources of randomness."""

    def __init__(self, heard, folder, **settings):
        self.model = torch.nn.Embedding(N_ITEMS, 4)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.parts = {"model": self.model, "optimizer": self.optimizer}
        self.curve = Curve(heard, folder, {**SETTINGS, **settings}, parameters=48, library="Toy 1.0")
        self.curve.resume(self.parts)

    def epoch(self):
        drawn = torch.randn(N_ITEMS, 4) + float(np.random.rand()) + random.random()
        self.optimizer.zero_grad()
        (self.model.weight * drawn).sum().backward()
        self.optimizer.step()
        return self.curve.add(1.0, self.vectors, self.parts)

    def vectors(self):
        items = self.model.weight.detach().numpy()
        histories = items[:11].repeat(2, axis=0)[:20]
        return items, histories, histories


def start(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_a_killed_training_ends_as_if_it_had_not_been(heard, tmp_path):
    start(1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    training = Training(heard, whole)
    stops = [training.epoch() for _ in range(6)]
    assert stops == [False] * 5 + [True]
    start(1)
    training = Training(heard, killed)
    assert not training.epoch()
    assert not training.epoch()
    assert not report(killed)["finished"]
    start(2)  # another process
    training = Training(heard, killed)
    while not training.epoch():
        pass
    assert report(killed) == report(whole)
    assert report(whole)["epochs"] == 6
    assert report(whole)["finished"]
    best = report(whole)["answers"]
    assert [folder.name for folder in whole.glob("epoch-*")] == [best]  # of the others nothing is left
    assert np.array_equal(np.load(whole / best / "items.npy"), np.load(killed / best / "items.npy"))
    assert np.load(whole / best / "items.npy")[11, -1] == np.float32(-1e9)  # never taken, so below all others


def test_a_killed_training_that_was_over_does_not_begin_again(heard, tmp_path):
    training = Training(heard, tmp_path, epochs=1)
    assert training.epoch()
    assert Training(heard, tmp_path, epochs=1).curve.over()


def test_training_stops_after_so_many_epochs_that_were_not_the_best(heard, tmp_path):
    training = Training(heard, tmp_path, epochs=50, patience=3)
    while not training.epoch():
        pass
    scores = report(tmp_path)["validation"]
    assert len(scores) - 1 - int(np.argmax(scores)) == 3
    assert report(tmp_path)["finished"]


def test_training_stops_when_its_minutes_are_over_and_is_not_finished(heard, tmp_path):
    assert Training(heard, tmp_path, minutes=0).epoch()
    assert not report(tmp_path)["finished"]
