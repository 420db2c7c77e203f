"""RecTools' EASE. Run in its environment: python ease_rectools.py HEARD ANSWERED SETTINGS-AS-JSON"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from files import Cases, Heard, lists_ndcg_at_10, matrix, read, write_lists, write_report
from rectools.dataset import Dataset
from rectools.models import EASEModel
from rectools_log import frame

LENGTH = 100
AT_ONCE = 512


def main() -> None:
    """Try every choice of settings, keep the best on validation, answer with lists."""
    heard, folder, settings = read(Path(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3])
    dataset = Dataset.construct(frame(heard))
    tried: list[dict[str, Any]] = []
    for choice in settings["choices"]:
        began = time.perf_counter()
        model = EASEModel(**choice, recommend_n_threads=settings["threads"]).fit(dataset)
        seconds = time.perf_counter() - began
        weights = in_our_order(model.weight, dataset, heard.n_items)
        place = folder / f"trial-{len(tried)}"
        place.mkdir(exist_ok=True)
        items, scores = lists(weights, heard, heard.validation)
        write_lists(place, "validation", items, scores)
        write_lists(place, "test", *lists(weights, heard, heard.test))
        score = lists_ndcg_at_10(items, heard.validation)
        print(f"{choice}: {seconds:.1f} s, validation NDCG@10 {score:.4f}", flush=True)
        tried.append({"settings": choice, "seconds": seconds, "validation": score, "answers": place.name})
        report(folder, tried, dataset.item_id_map.size, finished=len(tried) == len(settings["choices"]))


def report(folder: Path, tried: list[dict[str, Any]], n_items: int, *, finished: bool) -> None:
    """The best trial so far."""
    best = max(tried, key=lambda trial: trial["validation"])
    write_report(
        folder,
        library="RecTools 0.19.0",
        answers=best["answers"],
        parameters=n_items**2,
        seconds=best["seconds"],
        chosen=best["settings"],
        tried=tried,
        finished=finished,
    )


def in_our_order(weight: np.ndarray, dataset: Dataset, n_items: int) -> np.ndarray:
    """Weights between our rows, [N, N]; items that nobody took in training have none."""
    ours = np.asarray(dataset.item_id_map.external_ids, dtype=np.int64)
    weights = np.zeros((n_items, n_items), dtype=np.float32)
    weights[np.ix_(ours, ours)] = weight
    return weights


def lists(weights: np.ndarray, heard: Heard, cases: Cases) -> tuple[np.ndarray, np.ndarray]:
    """The best items of each case and their scores, [C, K], the history left out."""
    items = np.empty((len(cases.histories), LENGTH), dtype=np.int64)
    scores = np.empty((len(cases.histories), LENGTH), dtype=np.float32)
    for start in range(0, len(items), AT_ONCE):
        seen = matrix(cases.histories[start : start + AT_ONCE], heard.n_items)
        found = seen @ weights
        found[seen.nonzero()] = -np.inf
        best = np.argpartition(-found, LENGTH, axis=1)[:, :LENGTH]
        of_best = np.take_along_axis(found, best, axis=1)
        order = np.argsort(-of_best, axis=1, kind="stable")
        items[start : start + AT_ONCE] = np.take_along_axis(best, order, axis=1)
        scores[start : start + AT_ONCE] = np.take_along_axis(of_best, order, axis=1)
    return items, scores


if __name__ == "__main__":
    main()
