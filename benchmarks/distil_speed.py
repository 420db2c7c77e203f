"""What an epoch costs with a teacher beside one without, on Amazon Beauty: knowledge from disk, and asked on the fly.

    python benchmarks/distil_speed.py runs/teachers/beauty/data runs/teachers/beauty/teachers/text_and_ids \
        runs/teachers/beauty/teachers/ensemble

Every way trains the same student on the same windows through the real loop, in turns; validation is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from distilrec.data.batches import Windows
from distilrec.distil.loop import train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.knowledge import KnowledgeSource
from distilrec.models.students import TransformerStudent, build_student
from distilrec.progress import progress
from distilrec.run import stages
from distilrec.run.stages import Prepared
from distilrec.run.teachers import open_teacher, take_knowledge
from distilrec.teach.settings import KnowledgeSettings

ALONE = "alone"
STUDENT = TransformerStudent(width=64, positions="none")
MOST = {"disk": 2.0, "live": 3.0}


def main() -> None:
    """Read the command line, measure, print."""
    teachers = Path("runs/teachers/beauty/teachers")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("runs/teachers/beauty/data"))
    parser.add_argument("teacher", type=Path, nargs="*", default=[teachers / "text_and_ids", teachers / "ensemble"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--users", type=int, default=3200, help="how many users are trained on")
    options = parser.parse_args()
    prepared = first_users(stages.load_prepared(options.data), options.users)
    windows = Windows.cut(prepared.split.train, max_length=STUDENT.max_length)
    print(f"{options.users:,} users, {len(windows):,} windows, {int(windows.positions.sum()):,} positions")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        ways: dict[str, KnowledgeSource | None] = {ALONE: None}
        for folder in options.teacher:
            ways |= ways_of(folder, prepared, Path(scratch))
        seconds = measure(ways, prepared, windows, rounds=options.rounds)
    report(seconds)


def first_users(prepared: Prepared, count: int) -> Prepared:
    """The same data with some users to train on."""
    train = prepared.split.train.take(np.arange(min(count, len(prepared.split.train))))
    return replace(prepared, split=replace(prepared.split, train=train))


def ways_of(folder: Path, prepared: Prepared, scratch: Path) -> dict[str, KnowledgeSource | None]:
    """A teacher's lists and factors on disk, and the teacher itself."""
    teacher = open_teacher(folder, prepared, STUDENT.max_length)
    found: dict[str, KnowledgeSource | None] = {}
    for form in ("top", "whole"):
        settings = KnowledgeSettings(soft_labels=form, top_k=300)
        found[f"disk, {folder.name}, {form}"] = take_knowledge(
            teacher,
            prepared,
            scratch / f"{folder.name}-{form}",
            max_length=STUDENT.max_length,
            settings=settings,
            quiet=True,
        )
    return {**found, f"live, {folder.name}": teacher}


def measure(
    ways: dict[str, KnowledgeSource | None], prepared: Prepared, windows: Windows, *, rounds: int
) -> dict[str, list[float]]:
    """Seconds of an epoch, way by way, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with progress("Epochs", total=rounds * len(ways)) as advance:
        for _ in range(rounds):
            for name, knowledge in ways.items():
                torch.manual_seed(0)
                report = train(
                    build_student(STUDENT, prepared.interactions.n_items),
                    windows,
                    validate=lambda _: 0.0,
                    settings=TrainSettings(epochs=1),
                    knowledge=knowledge,
                    distil=DistilSettings(alpha=0.5) if knowledge is not None else None,
                    quiet=True,
                )
                seconds[name].append(report.epochs[0]["seconds"])
                advance(1)
    return seconds


def report(seconds: dict[str, list[float]]) -> None:
    """Medians beside the student alone, and whether each is within what was promised."""
    alone = statistics.median(seconds[ALONE])
    for name, values in seconds.items():
        times = float(np.median(values)) / alone
        most = MOST.get(name.partition(",")[0])
        told = "" if most is None else f"  ({'within' if times <= most else 'OVER'} {most:.0f} times)"
        print(f"{name:<32} {statistics.median(values):7.2f} s an epoch  {times:5.2f} times the student alone{told}")
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
