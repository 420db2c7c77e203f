"""RecBole's SASRec. Run in its environment: python sasrec_recbole.py HEARD ANSWERED SETTINGS-AS-JSON"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from curve import Curve, Vectors
from files import Heard, read
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.dataloader import TrainDataLoader
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed
from recbole_lean import LeanSASRec, check


def main() -> None:
    """Train and answer."""
    heard, folder, settings = read(Path(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3])
    torch.set_num_threads(settings["threads"])
    # RecBole's model SINE, imported with all others, has autograd look for NaN in every gradient of every model
    torch.autograd.set_detect_anomaly(False)  # which finds none, changes none, and takes three tenths of the time
    trainer, loader, dataset = build(heard, settings, LeanSASRec)
    check(trainer.model, dataset.inter_feat[:256])
    parameters = sum(p.numel() for p in trainer.model.parameters())
    curve = Curve(heard, folder, settings, parameters=parameters, library="RecBole 1.2.1")
    parts = {"model": trainer.model, "optimizer": trainer.optimizer, "order": Order(loader.generator)}
    curve.resume(parts)
    numbers, stop = rows_of(dataset, heard.n_items), curve.over()
    while not stop:
        began = time.perf_counter()
        trainer._train_epoch(loader, 0)
        stop = curve.add(time.perf_counter() - began, lambda: vectors_of(trainer.model, heard, numbers), parts)


@dataclass(frozen=True)
class Order:
    """The state of what shuffles RecBole's batches."""

    generator: torch.Generator

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What to keep."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take it back."""
        self.generator.set_state(state["generator"])


def build(heard: Heard, settings: dict[str, Any], model: type[SASRec] = SASRec) -> tuple[Trainer, TrainDataLoader, Any]:
    """A trainer, its batches and its data set, which holds training events alone."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "peers"
        place.mkdir()
        write_log(heard, place / "peers.inter")
        config = Config(
            model="SASRec",
            dataset="peers",
            config_dict={
                "data_path": folder,
                "use_gpu": False,
                "device": "cpu",
                "seed": settings["seed"],
                "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
                "train_neg_sample_args": None,
                "show_progress": False,
                "checkpoint_dir": folder,
                "state": "WARNING",
                **settings["model"],
            },
        )
        init_seed(settings["seed"], reproducibility=True)
        dataset = create_dataset(config)
        dataset._change_feat_format()  # cuts every training sequence into its prefixes
    loader = TrainDataLoader(config, dataset, None, shuffle=True)
    return Trainer(config, model(config, dataset)), loader, dataset


def write_log(heard: Heard, path: Path) -> None:
    """Training events in RecBole's atomic format; the place in the history serves as a time."""
    with path.open("w") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user, items in zip(heard.users, heard.train, strict=True):
            file.writelines(f"{user}\t{item}\t{place}\n" for place, item in enumerate(items))


def rows_of(dataset: Any, n_items: int) -> np.ndarray:  # noqa: ANN401  (RecBole has no types)
    """RecBole's number of each of our rows, [N]; 0, its padding, for items that nobody took in training."""
    numbers = np.zeros(n_items, dtype=np.int64)
    for token, number in dataset.field2token_id["item_id"].items():
        if token != "[PAD]":
            numbers[int(token)] = number
    return numbers


@torch.no_grad()
def vectors_of(model: SASRec, heard: Heard, numbers: np.ndarray) -> Vectors:
    """Item vectors in our order of rows, and the vectors of the histories of both splits."""
    model.eval()
    found = []
    for cases in (heard.validation, heard.test):
        known = [numbers[history][numbers[history] > 0][-model.max_seq_length :] for history in cases.histories]
        lengths = torch.tensor([max(1, len(history)) for history in known])
        rows = torch.zeros((len(known), model.max_seq_length), dtype=torch.long)
        for row, history in zip(rows, known, strict=True):
            row[: len(history)] = torch.from_numpy(history)
        parts = [model(part, length) for part, length in zip(rows.split(512), lengths.split(512), strict=True)]
        found.append(torch.cat(parts).numpy())
    return model.item_embedding.weight.numpy()[numbers], found[0], found[1]


if __name__ == "__main__":
    main()
