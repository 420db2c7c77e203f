"""Steps of RecTools' SASRec. Run in its environment: python speed_rectools.py HEARD SETTINGS-AS-JSON"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from files import read
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools_lean import DotByMatrices
from rectools_log import frame
from steps import Steps


class Turns(Callback):
    """Lightning trains as it does; between turns it waits."""

    def __init__(self, steps_a_turn: int) -> None:
        self.steps_a_turn = steps_a_turn

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Now the number of batches is known."""
        self.steps = Steps(self.steps_a_turn, int(trainer.num_training_batches))

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> int | None:  # noqa: ANN401
        """Wait for a turn; -1 ends the epoch."""
        if self.steps.before():
            return None
        trainer.should_stop = True
        return -1

    def on_train_batch_end(self, *_: Any) -> None:  # noqa: ANN401
        """Tell the time."""
        self.steps.after()


def main() -> None:
    """Make steps until nobody asks for more."""
    heard, settings = read(Path(sys.argv[1])), json.loads(sys.argv[2])
    torch.set_num_threads(settings["threads"])
    seed_everything(0, verbose=False)
    changed = {"similarity_module_type": DotByMatrices} if settings["cheaper_sums"] else {}
    model = SASRecModel(**settings["model"], **changed)
    model._trainer = Trainer(
        max_epochs=1000,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Turns(settings["steps_a_turn"])],
    )
    model.fit(Dataset.construct(frame(heard)))


if __name__ == "__main__":
    main()
