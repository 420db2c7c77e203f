"""Seconds a training epoch: this package's loop beside the usual way of writing it.

Both train the same transformer from the same first weights on the same data with the same optimiser:

- ours: batches of similar length; the catalogue loss in chunks with gradients made in the forward pass.
- usual: random batches padded to the full length; logits of the real positions against all items in one matrix, then
  `torch.nn.functional.cross_entropy`. (Logits are not computed at padded positions, which is kinder than many.)

Epochs alternate, so that a slow moment of the machine meets both. Prints each epoch, the medians, their ratio, and both
losses of the same weights on the same positions.

Run: python benchmarks/train_speed.py --data PATH-TO-AMAZON-BEAUTY
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from distilrec.data.batches import Windows, in_order
from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split
from distilrec.distil.loop import choose_precision, train
from distilrec.distil.losses.catalogue import distillation_loss
from distilrec.distil.settings import TrainSettings
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch

BATCH_SIZE, MAX_LENGTH, SEED = 128, 50, 0


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    interactions, _ = read(arguments.data)
    windows = Windows.cut(split(interactions, SplitSettings()).train, max_length=MAX_LENGTH)
    print(f"{len(windows):,} windows, {int(windows.positions.sum()):,} positions, {interactions.n_items:,} items")
    print(f"{_processor()}, {os.cpu_count()} cores, {arguments.threads} threads, torch {torch.__version__}")
    print_both_losses(_model(interactions.n_items), windows)
    seconds = alternate_epochs(_model(interactions.n_items), _model(interactions.n_items), windows, arguments.epochs)
    ours, usual = statistics.median(seconds["ours"]), statistics.median(seconds["usual"])
    print(f"median seconds an epoch: ours {ours:.2f}, usual {usual:.2f}, ratio {usual / ours:.2f}")
    print(json.dumps(seconds))


def alternate_epochs(ours: Transformer, usual: Transformer, windows: Windows, epochs: int) -> dict[str, list[float]]:
    """Train both models, an epoch of one, an epoch of the other; return seconds."""
    optimizer = torch.optim.AdamW(usual.parameters(), lr=1e-3, weight_decay=0.01)
    seconds: list[float] = []

    def usual_epoch(_: nn.Module) -> float:  # runs where our loop validates, so that epochs alternate
        began = time.perf_counter()
        loss = _usual_epoch(usual, optimizer, windows, np.random.default_rng(len(seconds)))
        seconds.append(time.perf_counter() - began)
        print(f"epoch {len(seconds)}  usual {seconds[-1]:6.2f} s  loss {loss:.4f}", flush=True)
        return 0.0

    settings = TrainSettings(epochs=epochs, patience=epochs, batch_size=BATCH_SIZE, seed=SEED)
    report = train(ours, windows, validate=usual_epoch, settings=settings, quiet=True)
    for number, epoch in enumerate(report.epochs, start=1):
        print(f"epoch {number}  ours  {epoch['seconds']:6.2f} s  loss {epoch['loss']:.4f}")
    return {"ours": [epoch["seconds"] for epoch in report.epochs], "usual": seconds}


@torch.no_grad()
def print_both_losses(model: Transformer, windows: Windows) -> None:
    """Both losses of the same weights on the same positions: every 50th batch of the training set."""
    model.eval()
    ours, usual, positions = 0.0, 0.0, 0
    precision = choose_precision("auto", torch.device("cpu"))
    for rows in in_order(windows.positions, batch_size=BATCH_SIZE)[::50]:
        batch = windows.batch(rows)
        history, items = model(batch)
        targets = torch.from_numpy(batch.targets[batch.mask])
        ours += float(distillation_loss(history, items, targets, precision=precision).total) * len(targets)
        usual += float(F.cross_entropy(history @ items.T, targets)) * len(targets)
        positions += len(targets)
    print(
        f"loss of the same weights on {positions:,} positions: ours ({precision}) {ours / positions:.5f}, "
        f"usual (float32) {usual / positions:.5f}"
    )


def _usual_epoch(
    model: Transformer, optimizer: torch.optim.Optimizer, windows: Windows, generator: np.random.Generator
) -> float:
    model.train()
    order, total = generator.permutation(len(windows)), 0.0
    for start in range(0, len(order), BATCH_SIZE):
        batch = _padded(windows.batch(order[start : start + BATCH_SIZE]))
        items = model.item_vectors()
        history = model.history_vectors(batch, items)[torch.from_numpy(batch.mask)]  # [P, D]
        targets = torch.from_numpy(batch.targets[batch.mask])
        loss = F.cross_entropy(history @ items.T, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(targets)
    return total / int(windows.positions.sum())


def _padded(batch: Batch) -> Batch:
    """The batch at the full length."""
    missing = ((0, 0), (0, MAX_LENGTH - batch.items.shape[1]))
    return Batch(np.pad(batch.items, missing), batch.lengths, np.pad(batch.targets, missing, constant_values=-1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/amazon-beauty"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _model(n_items: int) -> Transformer:
    torch.manual_seed(SEED)
    return Transformer(TransformerSettings(width=64, max_length=MAX_LENGTH), n_items)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
