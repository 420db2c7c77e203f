"""Writing a teacher's knowledge against asking the teacher and keeping nothing, on ML-1M.

    python benchmarks/extract_speed.py runs/teachers/ml-1m/data runs/teachers/ml-1m/teachers/text_and_ids

Both sides go through the same windows in the same order. Asking is one forward pass to history vectors; for the lists
it also makes the logits of the whole catalogue, which no list can do without. Rounds are taken in turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from distilrec.data.batches import Windows, in_order
from distilrec.knowledge import FactorLabels, Knowledge
from distilrec.run import stages
from distilrec.run.teachers import open_teacher, take_knowledge
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import VectorTeacher

_BATCH_WINDOWS = 256
_BATCH_POSITIONS = 4096  # of logits at once


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path("runs/teachers/ml-1m/data"))
    parser.add_argument("teacher", type=Path, nargs="?", default=Path("runs/teachers/ml-1m/teachers/text_and_ids"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prepared = stages.load_prepared(options.data)
    max_length = int(
        json.loads((options.teacher / "artefact/config.json").read_text())["model"]["settings"]["max_length"]
    )
    teacher = open_teacher(options.teacher, prepared, max_length)
    assert isinstance(teacher, VectorTeacher)
    windows = Windows.cut(prepared.split.train, max_length=max_length)
    positions = int(windows.positions.sum())
    print(f"{len(windows):,} windows, {positions:,} positions, {prepared.interactions.n_items:,} items")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        sides: dict[str, Callable[[], Knowledge | None]] = {
            "asked, vectors": lambda: ask(teacher, windows, logits=False),
            "written, whole": lambda: take(teacher, prepared, Path(scratch), max_length, "whole"),
            "asked, logits": lambda: ask(teacher, windows, logits=True),
            "written, best 100": lambda: take(teacher, prepared, Path(scratch), max_length, "top"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(options.rounds):
            for name, side in sides.items():
                began = time.perf_counter()
                found = side()
                seconds[name].append(time.perf_counter() - began)
                size = f", {found.size_bytes() / positions:.0f} bytes a position" if found else ""
                print(f"round {number}  {name:<18} {seconds[name][-1]:7.2f} s{size}", flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for asked, written in (("asked, vectors", "written, whole"), ("asked, logits", "written, best 100")):
        share = medians[asked] / medians[written]
        rate = positions / medians[written]
        print(f"{written}: {share:.0%} of the teacher's own speed ({rate:,.0f} positions a second)")
    print(json.dumps(seconds))


def ask(teacher: VectorTeacher, windows: Windows, *, logits: bool) -> None:
    """The teacher's own speed: every window, nothing kept."""
    for rows in in_order(windows.positions, batch_size=_BATCH_WINDOWS):
        (part,) = teacher.soft_labels(windows.batch(rows))
        assert isinstance(part, FactorLabels)
        if logits:
            items = torch.from_numpy(part.item_vectors).T
            for start in range(0, len(part.history_vectors), _BATCH_POSITIONS):
                torch.from_numpy(part.history_vectors[start : start + _BATCH_POSITIONS]) @ items


def take(teacher: VectorTeacher, prepared: stages.Prepared, scratch: Path, max_length: int, form: str) -> Knowledge:
    """Write it all, from nothing."""
    shutil.rmtree(scratch / form, ignore_errors=True)
    settings = KnowledgeSettings(soft_labels=form, top_k=100)  # type: ignore[arg-type]
    return take_knowledge(teacher, prepared, scratch / form, max_length=max_length, settings=settings, quiet=True)


if __name__ == "__main__":
    main()
