"""RecTools' SASRec. Run in its environment: python sasrec_rectools.py HEARD ANSWERED SETTINGS-AS-JSON"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from curve import Curve, Vectors
from files import Cases, Heard, padded, read
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools_lean import DotByMatrices
from rectools_log import frame


class Judge(Callback):
    """Validates after every epoch, and stops. RecTools trains with a copy of it, and of what it holds."""

    def __init__(self, curve: Curve, vectors: Any) -> None:  # noqa: ANN401  (a function of the module)
        self.curve, self.vectors, self.begun = curve, vectors, False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on where an earlier process stopped, and start the clock."""
        if not self.begun:  # and no sooner: RecTools draws its first weights after the callbacks' `on_train_start`
            self.begun = True
            self.curve.resume(_parts(trainer, pl_module))
            trainer.should_stop = self.curve.over()
        self.began = time.perf_counter()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> int | None:  # noqa: ANN401
        """-1 ends an epoch that should not have begun: Lightning begins one whatever was said before."""
        return -1 if trainer.should_stop else None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock, then validate."""
        if not trainer.should_stop:
            seconds, parts = time.perf_counter() - self.began, _parts(trainer, pl_module)
            trainer.should_stop = self.curve.add(seconds, lambda: self.vectors(pl_module.torch_model), parts)


def _parts(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    return {"model": module.torch_model, "optimizer": trainer.optimizers[0]}


def main() -> None:
    """Train and answer."""
    heard, folder, settings = read(Path(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3])
    torch.set_num_threads(settings["threads"])
    seed_everything(settings["seed"], verbose=False)
    model = SASRecModel(**settings["model"], similarity_module_type=DotByMatrices)
    dataset = Dataset.construct(frame(heard))

    def vectors(torch_model: torch.nn.Module) -> Vectors:
        return vectors_of(torch_model, model, heard, settings["model"]["session_max_len"])

    model._build_model_from_dataset(dataset)  # to count parameters; fit builds it again
    parameters = sum(p.numel() for p in model.torch_model.parameters())
    curve = Curve(heard, folder, settings, parameters=parameters, library="RecTools 0.19.0")
    seed_everything(settings["seed"], verbose=False)
    model._trainer = Trainer(
        max_epochs=settings["epochs"],  # at most: the curve knows how many there were before
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Judge(curve, vectors)],
    )
    model.fit(dataset)


@torch.no_grad()
def vectors_of(torch_model: torch.nn.Module, model: SASRecModel, heard: Heard, length: int) -> Vectors:
    """Item vectors in our order of rows, and the vectors of the histories of both splits."""
    torch_model.eval()
    table = torch_model.item_model.get_all_embeddings()  # [1 + known items, D], its own order
    preparator = model.data_preparator
    ours = np.asarray(preparator.get_known_item_ids(), dtype=np.int64)
    theirs = np.zeros(heard.n_items, dtype=np.int64)  # our row -> their row; 0 is padding
    theirs[ours] = preparator.item_id_map.convert_to_internal(ours)
    found = [_histories(torch_model, table, cases, theirs, length) for cases in (heard.validation, heard.test)]
    torch_model.train()
    return table.numpy()[theirs], found[0], found[1]


def _histories(
    torch_model: torch.nn.Module, table: torch.Tensor, cases: Cases, theirs: np.ndarray, length: int
) -> np.ndarray:
    known = [theirs[history][theirs[history] > 0] for history in cases.histories]
    rows = torch.from_numpy(padded(known, length))
    parts = [torch_model.encode_sessions({"x": part}, table)[:, -1] for part in rows.split(512)]
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    main()
