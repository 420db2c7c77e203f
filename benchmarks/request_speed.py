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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from runtime_speed import Ask, timed

from distilrec.latency import ONE_THREAD

if TYPE_CHECKING:  # numerical libraries read the number of threads when they load
    from distilrec.recommender import Recommender
    from distilrec.run.stages import Prepared

_TURN = 10  # requests
_TEXT = "language model over text"
_WANTED = {
    "text_and_ids": "text and ids",
    "lm_items_pretrained": "language model over items",
    "lm_text_pretrained": _TEXT,
}


def main() -> None:
    """Measure and print."""
    options = _options()
    if not ONE_THREAD.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
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
    _show(timed(asks, asked, len(asked), turn_of=_TURN), first)


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


def _show(seconds: Mapping[str, Sequence[float]], first: str) -> None:
    milliseconds = {name: 1000 * np.array(values) for name, values in seconds.items()}
    fastest = np.median(milliseconds[first])
    print(f"{'':28}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'times ' + first.partition(', ')[2]:>18}")
    for name, values in milliseconds.items():
        p50, p95, p99 = np.percentile(values, [50, 95, 99])
        print(f"{name:28}{p50:9.2f}{p95:9.2f}{p99:9.2f}{p50 / fastest:17.1f}x")


if __name__ == "__main__":
    main()
