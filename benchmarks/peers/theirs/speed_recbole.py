"""Steps of RecBole's SASRec. Run in its environment: python speed_recbole.py HEARD SETTINGS-AS-JSON"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from files import read
from recbole.model.sequential_recommender import SASRec
from recbole_lean import LeanSASRec
from sasrec_recbole import build
from steps import Steps


class Turns:
    """RecBole's batches, handed out in turns; a step is from one batch to the next."""

    def __init__(self, loader: Any, steps_a_turn: int) -> None:  # noqa: ANN401  (RecBole has no types)
        self.loader, self.shuffle = loader, loader.shuffle
        self.steps = Steps(steps_a_turn, len(loader))

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.loader)
        while self.steps.before():
            batch = next(batches, None)
            if batch is None:
                batches = iter(self.loader)
                batch = next(batches)
            yield batch
            self.steps.after()


def main() -> None:
    """Make steps until nobody asks for more."""
    heard, settings = read(Path(sys.argv[1])), json.loads(sys.argv[2])
    torch.set_num_threads(settings["threads"])
    if settings["without_nan_checks"]:
        torch.autograd.set_detect_anomaly(False)
    trainer, loader, _ = build(heard, settings, LeanSASRec if settings["cheaper_sums"] else SASRec)
    trainer._train_epoch(Turns(loader, settings["steps_a_turn"]), 0)


if __name__ == "__main__":
    main()
