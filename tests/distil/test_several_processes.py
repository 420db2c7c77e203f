"""Training in several processes: each takes its share of every batch, and all end with the same weights."""

import os
import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path

import torch

from distilrec.data.batches import Windows
from distilrec.data.split import SplitSettings, split
from distilrec.data.synthetic import markov_world
from distilrec.distil.loop import train
from distilrec.distil.settings import TrainSettings
from distilrec.evaluate.evaluation import evaluate
from distilrec.models.transformer import Transformer, TransformerSettings

world = markov_world()
parts = split(world, SplitSettings(new_items_only=False))
torch.manual_seed(0)
model = Transformer(TransformerSettings(width=16, max_length=8), world.n_items)


def validate(scorer):
    return evaluate(scorer, parts.validation, cutoffs=(5,), exclude_history=False, quiet=True).mean("ndcg@5")


settings = TrainSettings(epochs=5, batch_size=16, learning_rate=3e-3)
report = train(model, Windows.cut(parts.train, max_length=8), validate=validate, settings=settings, quiet=True)
weights = sum(float(value.detach().double().sum()) for value in model.parameters())
rank = torch.distributed.get_rank()
Path(sys.argv[1], f"rank-{rank}").write_text(f"{report.best_score} {weights}")
"""


def test_two_processes_learn_the_world_and_agree(tmp_path):
    """Gloo over the loopback address, as on several machines; gradients are averaged between the processes."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "script.py"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first, second = ((tmp_path / f"rank-{rank}").read_text() for rank in (0, 1))
    assert first == second
    assert float(first.split()[0]) > 0.7
