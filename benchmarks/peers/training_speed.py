"""Seconds an epoch of the same SASRec: ours, RecTools' with two losses, RecBole's, in turns in one run.

    python benchmarks/peers/training_speed.py --data PATH-TO-AMAZON-BEAUTY

Width 64, one block, one head, 50 positions, 128 users a batch, Adam; full cross-entropy, and for RecTools also its
sampled softmax with 256 negatives. RecBole has no users in a batch: it cuts every history into its prefixes and asks
each for one answer, so a batch is as many prefixes as 128 users have on average. Our epochs are whole. Of the others
some steps are made after each of ours, and an epoch is the median step as often as it has steps: extrapolated, and
labelled so. Between two turns a process waits and takes nothing. Peers run as they come; `--keep-memory` has glibc
keep what they free, as ours does by itself (`distilrec.memory`), which is worth much to them. Importing RecBole's
models has autograd look for NaN in every gradient of whatever is trained (its SINE asks for it, for debugging);
`--without-nan-checks` has it not. `--cheaper-sums` times the peers as `side_by_side.py` trains them: the same models
and losses, worked out with less.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import torch
from environment import FOLDER, python_of
from same_model import LENGTH, NAMES, USERS_A_BATCH, Setup, our_model, setups
from sequences import write_sequences
from side_by_side import THEIRS, environment
from table import processor

from distilrec.data.batches import Windows
from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split
from distilrec.distil.loop import train
from distilrec.distil.settings import TrainSettings
from distilrec.run.stages import Prepared


@dataclass
class Runner:
    """A peer's process, which makes steps when it is asked to."""

    name: str
    process: subprocess.Popen[str]
    seconds_a_step: list[float] = field(default_factory=list)
    steps_an_epoch: int = 0

    def wait(self) -> None:
        """Until it has read its data and can begin."""
        self._line()

    def turn(self) -> None:
        """Have some steps made, and note how long one took."""
        sent, _ = _pipes(self.process)
        sent.write("\n")
        sent.flush()
        told = json.loads(self._line())
        self.steps_an_epoch = told["steps_an_epoch"]
        self.seconds_a_step.append(told["seconds"] / told["steps"])
        print(f"  {self.name}: {told['steps']} steps in {told['seconds']:.2f} s", flush=True)

    def _line(self) -> str:
        line = _pipes(self.process)[1].readline()
        if not line:
            raise SystemExit(
                f"{self.name} ended with {self.process.wait()}, too early; run its script by hand to see why"
            )
        return line

    @property
    def seconds_an_epoch(self) -> float:
        """The median step, as often as an epoch has it; the first turn warms up and is left out."""
        return statistics.median(self.seconds_a_step[1:] or self.seconds_a_step) * self.steps_an_epoch

    def end(self) -> None:
        """No more turns."""
        _pipes(self.process)[0].close()
        self.process.wait()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None  # both were asked for
    assert process.stdout is not None
    return process.stdin, process.stdout


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    interactions, _ = read(options.data)
    parts = split(interactions, SplitSettings())
    windows = Windows.cut(parts.train, max_length=LENGTH)
    print(f"{len(windows):,} windows, {int(windows.positions.sum()):,} positions, {interactions.n_items:,} items")
    print(f"{processor()}, {options.threads} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        heard = Path(folder)
        write_sequences(Prepared(interactions, parts), heard)
        told = setups(windows)
        runners = [start(name, told[name], heard, options) for name in options.peers]
        for runner in runners:
            runner.wait()
        ours = alternate(windows, interactions.n_items, runners, options.epochs)
        for runner in runners:
            runner.end()
    print_table(ours, runners)


def start(name: str, told: Setup, heard: Path, options: argparse.Namespace) -> Runner:
    """A peer's process, up to where it waits for its first turn."""
    settings = {
        "threads": options.threads,
        "seed": 0,
        "steps_a_turn": told.steps * options.steps,
        "without_nan_checks": options.without_nan_checks,
        "cheaper_sums": options.cheaper_sums,
        "model": told.model,
    }
    places = [python_of(f"{told.library}_training", options.venvs), THEIRS / f"speed_{told.library}.py", heard]
    command = [*(str(place.absolute()) for place in places), json.dumps(settings)]
    variables = environment(options.threads, keep_memory=options.keep_memory)
    pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=quiet, text=True, env=variables, cwd=heard)
    return Runner(name, process)


def alternate(windows: Windows, n_items: int, runners: list[Runner], epochs: int) -> list[float]:
    """An epoch of ours, then a turn of each peer, and again; return our seconds."""
    model = our_model(n_items)

    def turns(_: torch.nn.Module) -> float:  # runs where our loop validates
        for runner in runners:
            runner.turn()
        return 0.0

    settings = TrainSettings(epochs=epochs, patience=epochs, batch_size=USERS_A_BATCH)
    report = train(model, windows, validate=turns, settings=settings, quiet=True)
    return [epoch["seconds"] for epoch in report.epochs]


def print_table(ours: list[float], runners: list[Runner]) -> None:
    """Medians and ratios; the raw numbers below."""
    median = statistics.median(ours)
    print(f"ours: {median:.1f} s an epoch, the median of {len(ours)} whole ones")
    for runner in runners:
        seconds, steps = runner.seconds_an_epoch, runner.steps_an_epoch
        print(
            f"{runner.name}: {seconds:.0f} s an epoch, extrapolated to its {steps} steps; ratio {seconds / median:.1f}"
        )
    print(json.dumps({"ours": ours, **{runner.name: runner.seconds_a_step for runner in runners}}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/amazon-beauty"))
    parser.add_argument("--peers", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--epochs", type=int, default=4, help="of ours, and turns of the others")
    parser.add_argument("--steps", type=int, default=5, help="a turn of the slowest")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep-memory", action="store_true", help="the peers' too")
    parser.add_argument("--without-nan-checks", action="store_true", help="of RecBole, which are meant for debugging")
    parser.add_argument("--cheaper-sums", action="store_true", help="of `rectools_lean.py`, `recbole_lean.py`")
    parser.add_argument("--venvs", type=Path, default=FOLDER, help="where the peers' environments are")
    return parser.parse_args()


if __name__ == "__main__":
    main()
