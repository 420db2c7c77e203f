"""What a request costs when a language model answers it, beside the student that was exported, on one thread.

    python benchmarks/request_speed.py runs/exported/beauty [MORE EXPORTED FOLDERS] [--requests 200]

From outside ids to ten ranked outside ids, one user at a time, for real users of Amazon Beauty. Language models are
built as `recipes/teachers/beauty.yaml` and `beauty-text.yaml` say, from pretrained weights, and not trained: what was
learnt costs nothing at request time. The one over text is asked twice, with as many tokens as the recipe has it read,
and with as many as it reads unless told otherwise. Item vectors are worked out before anything is timed. All take turns
in one process, so that a slow moment meets them all; ratios are of medians.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # numerical libraries read the number of threads when they load
    from distilrec.recommender import Recommender
    from distilrec.run.stages import Prepared

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
_TURN = 10  # requests
_TEXT = "language model over text"
_WANTED = {
    "text_and_ids": "text and ids",
    "lm_items_pretrained": "language model over items",
    "lm_text_pretrained": _TEXT,
}
Ask = Callable[[list[object]], object]


def main() -> None:
    """Measure and print."""
    options = _options()
    one = dict.fromkeys(_THREADS, "1")
    if not one.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **one})
    from distilrec.serve.runtime import Runtime

    asks: dict[str, Ask] = {}
    for folder in options.folders:
        runtime = Runtime.load(folder, threads=1)
        asks[f"student, {folder.name}"] = lambda ids, runtime=runtime: runtime.recommend([ids], k=10)
    first = next(iter(asks))
    teachers, prepared = _teachers(options)
    for name, recommender in teachers.items():
        asks[name] = lambda ids, recommender=recommender: recommender.recommend(ids, k=10)
    asked = _histories(prepared, options.requests)
    lengths = [len(history) for history in asked]
    print(f"{len(asked)} requests, histories of {np.median(lengths):g} items (median) to {max(lengths)}; one thread")
    _show(_timed(asks, asked), first)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="what distilrec export wrote; the first is the measure")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs/teachers"), help="where bench-teachers keeps its work")
    return parser.parse_args()


def _teachers(options: argparse.Namespace) -> tuple[dict[str, Recommender], Prepared]:
    """Each teacher that is asked, and the data they know."""
    from teachers import Bench, Work

    from distilrec.config import load_yaml, parse
    from distilrec.recommender import Recommender
    from distilrec.run.teachers import untrained
    from distilrec.teach.text_language_model import TextTeacherSettings

    found = {}
    for stem in ("beauty", "beauty-text"):
        recipe = Path("recipes/teachers") / f"{stem}.yaml"
        work = Work(parse(Bench, load_yaml(recipe), where=str(recipe)), options.out / stem)
        work.prepare()
        stages = {title: work.bench.teachers[name] for name, title in _WANTED.items() if name in work.bench.teachers}
        if _TEXT in stages:
            usual = stages[_TEXT].with_changes(model=TextTeacherSettings())
            stages[f"the same, {usual.model.max_tokens} tokens"] = usual
        for title, stage in stages.items():
            model = untrained(stage, work.lessons(stage)).eval()
            model.item_vectors()  # kept by a model that takes long to make them
            found[title] = Recommender(model, work.prepared.catalogue())
    return found, work.prepared


def _histories(prepared: Prepared, count: int) -> list[list[object]]:
    """Of users drawn from all, what they had chosen by the end of training, in outside ids."""
    train, ids = prepared.split.train, prepared.interactions.items["item_id"].to_list()
    drawn = np.random.default_rng(0).choice(len(train), min(count, len(train)), replace=False)
    return [[ids[row] for row in train[int(user)].tolist()] for user in drawn]


def _timed(asks: Mapping[str, Ask], asked: Sequence[list[object]]) -> dict[str, list[float]]:
    """Milliseconds of each request."""
    found: dict[str, list[float]] = {name: [] for name in asks}
    for ask in asks.values():  # warms up
        for ids in asked[:_TURN]:
            ask(ids)
    for start in range(0, len(asked), _TURN):
        for name, ask in asks.items():
            for ids in asked[start : start + _TURN]:
                began = time.perf_counter()
                ask(ids)
                found[name].append(1000 * (time.perf_counter() - began))
    return found


def _show(milliseconds: Mapping[str, Sequence[float]], first: str) -> None:
    fastest = np.median(milliseconds[first])
    print(f"{'':28}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'times ' + first.partition(', ')[2]:>18}")
    for name, values in milliseconds.items():
        p50, p95, p99 = np.percentile(values, [50, 95, 99])
        print(f"{name:28}{p50:9.2f}{p95:9.2f}{p99:9.2f}{p50 / fastest:17.1f}x")


if __name__ == "__main__":
    main()
