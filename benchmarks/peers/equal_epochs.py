"""Validation NDCG@10 after equal epochs of the same SASRec: ours, RecTools' with two losses, RecBole's.

    python benchmarks/peers/equal_epochs.py --epochs 8            # an hour on two cores
    python benchmarks/peers/equal_epochs.py --epochs 8 --print    # trains nothing: the table of what there is

`training_speed.py` measures what an epoch of this model costs, this what it teaches: Adam with a step of .001 for all,
no schedule. RecBole's SASRec normalises the vectors that it reads and RecTools' does not, so ours is shown both ways.
All are judged alike, by scores of the whole catalogue without the history. Each training is kept in `--out`; the same
command goes on with what is missing, after the last whole epoch.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from environment import FOLDER
from known import PEERS
from rich.console import Console
from rich.table import Table
from same_model import LENGTH, NAMES, USERS_A_BATCH, Setup, our_model, setups
from sequences import write_sequences
from side_by_side import CutOff, code_of, failures_told, place_of_report, run_peer
from table import processor

from distilrec.data.batches import Windows
from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split
from distilrec.distil.loop import train
from distilrec.distil.settings import TrainSettings
from distilrec.files import read_json, write_json
from distilrec.run.folder import RunFolder, digest_of_stage
from distilrec.run.recipe import EvaluateStage
from distilrec.run.stages import Prepared, validator

OURS = {"ours": False, "ours, input norm": True}


class EqualEpochs:
    """One data set, in a folder, and what each library has learnt of it after each epoch."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        interactions, _ = read(options.data)
        self.prepared = Prepared(interactions, split(interactions, SplitSettings()))
        self.windows = Windows.cut(self.prepared.split.train, max_length=LENGTH)
        self.folder = RunFolder(options.out, say=print)
        self.folder.claim(data_digest=interactions.digest())
        told = {"split": self.prepared.split.digest()}
        self.heard = self.folder.stage("heard", told, lambda folder: write_sequences(self.prepared, folder))

    def train(self) -> None:
        """What is missing of ours and of the peers that were asked for."""
        settings = TrainSettings(
            epochs=self.options.epochs, patience=self.options.epochs, batch_size=USERS_A_BATCH, seed=0
        )
        told = {"heard": digest_of_stage(self.heard), "train": settings.model_dump(mode="json")}
        for name, input_norm in OURS.items():
            self.folder.stage(
                _slug(name),
                {**told, "input_norm": input_norm},
                lambda folder, name=name: self._train_ours(name, settings, folder),
            )
        setup_of = setups(self.windows)
        for name in self.options.peers:
            self._train_peer(name, setup_of[name])

    def _train_ours(self, name: str, settings: TrainSettings, folder: Path) -> None:
        model = our_model(self.prepared.interactions.n_items, input_norm=OURS[name])
        validate = validator(self.prepared, EvaluateStage())
        report = train(model, self.windows, validate=validate, settings=settings, name=name)
        names = {"validation": "score", "seconds_an_epoch": "seconds"}  # theirs and ours
        write_json(folder / "report.json", {name: [epoch[of] for epoch in report.epochs] for name, of in names.items()})

    def _train_peer(self, name: str, told: Setup) -> None:
        epochs = self.options.epochs
        settings = {"epochs": epochs, "patience": epochs, "seed": 0, "model": told.model}
        inputs = {"heard": digest_of_stage(self.heard), "settings": settings, **code_of(PEERS[told.library])}
        self.folder.stage(
            _slug(name),
            inputs,
            lambda folder: run_peer(PEERS[told.library], settings, self.heard, folder, self.options),
        )

    def curves(self) -> dict[str, dict[str, Any]]:
        """Reports of what there is, whole or as far as it is."""
        found = {}
        for name in (*OURS, *NAMES):
            if (place := place_of_report(self.folder.path / _slug(name))) is not None:
                found[name] = read_json(place / "report.json")
        return found


def _slug(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")


def show(curves: Mapping[str, Mapping[str, Any]]) -> None:
    """A row an epoch, a column a library; a dash where it has not come so far."""
    if not curves:
        print("nothing is trained yet")
        return
    table = Table("epoch", *curves, title="validation NDCG@10")
    for epoch in range(max(len(curve["validation"]) for curve in curves.values())):
        scores = [curve["validation"][epoch : epoch + 1] for curve in curves.values()]
        table.add_row(str(epoch + 1), *(f"{score[0]:.4f}" if score else "-" for score in scores))
    table.add_section()
    seconds = (statistics.median(curve["seconds_an_epoch"]) for curve in curves.values())
    table.add_row("seconds an epoch", *(f"{each:.0f}" for each in seconds))
    Console().print(table)
    print(f"{processor()}; seconds are medians, beside whatever else ran: `training_speed.py` measures them in turns")


def main() -> None:
    """Train what is missing, show."""
    options = _options()
    torch.set_num_threads(options.threads)
    with failures_told():
        work = EqualEpochs(options)
        if not options.print:
            try:
                with work.folder.locked():
                    work.train()
            except CutOff as so_far:
                print(so_far)
        show(work.curves())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/amazon-beauty"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--peers", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--print", action="store_true", help="train nothing; show what there is")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=600, help="of training a peer, this time")
    parser.add_argument("--venvs", type=Path, default=FOLDER, help="where the peers' environments are")
    parser.add_argument("--out", type=Path, default=Path("runs/peers/equal-epochs"), help="where to keep everything")
    return parser.parse_args()


if __name__ == "__main__":
    main()
