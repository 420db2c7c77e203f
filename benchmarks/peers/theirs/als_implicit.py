"""Implicit's ALS. Run in its environment: python als_implicit.py HEARD ANSWERED SETTINGS-AS-JSON"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from files import Cases, Heard, matrix, ndcg_at_10, read, write_report, write_vectors
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix


def main() -> None:
    """Try every choice of settings, keep the best on validation, answer."""
    heard, folder, settings = read(Path(sys.argv[1])), Path(sys.argv[2]), json.loads(sys.argv[3])
    users = matrix(heard.train, heard.n_items)
    known = np.asarray(users.getnnz(axis=0) > 0).ravel()
    tried: list[dict[str, Any]] = []
    for choice in settings["choices"]:
        model = AlternatingLeastSquares(**choice, num_threads=settings["threads"], random_state=settings["seed"])
        began = time.perf_counter()
        model.fit(users, show_progress=False)
        seconds = time.perf_counter() - began
        score = ndcg_at_10(histories(model, heard, heard.validation), model.item_factors, heard.validation)
        print(f"{choice}: {seconds:.1f} s, validation NDCG@10 {score:.4f}", flush=True)
        if score > max((trial["validation"] for trial in tried), default=-1.0):
            found = {split: histories(model, heard, getattr(heard, split)) for split in ("validation", "test")}
            write_vectors(folder, model.item_factors, known, found)
        tried.append({"settings": choice, "seconds": seconds, "validation": score})
    best = max(tried, key=lambda trial: trial["validation"])
    write_report(
        folder,
        library="implicit 0.7.2",
        answers=".",
        parameters=heard.n_items * best["settings"]["factors"],
        epochs=best["settings"]["iterations"],
        best_epoch=best["settings"]["iterations"],
        seconds=best["seconds"],
        chosen=best["settings"],
        tried=tried,
        finished=True,
    )


def histories(model: AlternatingLeastSquares, heard: Heard, cases: Cases) -> np.ndarray:
    """A vector for each history, solved for with the item vectors fixed, as one serves users who came later."""
    asked: csr_matrix = matrix(cases.histories, heard.n_items)
    return np.asarray(model.recalculate_user(np.arange(asked.shape[0]), asked))


if __name__ == "__main__":
    main()
