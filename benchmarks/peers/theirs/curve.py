"""Validation after each epoch: when to stop, and what to keep, the same way for every peer that has epochs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from files import Heard, ndcg_at_10, write_report, write_vectors
from numpy.typing import NDArray

Vectors = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]  # items, validation, test


class Curve:
    """Keeps the vectors of the best epoch on disk, so that a training that is cut off leaves its best so far."""

    def __init__(self, heard: Heard, folder: Path, *, patience: int, seconds: float, facts: dict[str, Any]) -> None:
        self._heard, self._folder, self._patience, self._limit = heard, folder, patience, seconds
        self._facts, self._began = facts, time.monotonic()
        self._scores: list[float] = []
        self._seconds: list[float] = []
        known = np.zeros(heard.n_items, dtype=bool)
        known[np.concatenate(heard.train)] = True
        self._known = known

    def add(self, seconds: float, vectors: Callable[[], Vectors]) -> bool:
        """Note an epoch that took this long; return whether to stop."""
        items, validation, test = vectors()
        shown = np.where(self._known[:, None], items, 0)
        score = ndcg_at_10(validation, shown, self._heard.validation)
        self._scores.append(score)
        self._seconds.append(seconds)
        best = int(np.argmax(self._scores))
        if best == len(self._scores) - 1:
            self._keep(f"epoch-{best + 1}", items, {"validation": validation, "test": test})
        patient = len(self._scores) - 1 - best < self._patience
        in_time = time.monotonic() - self._began < self._limit
        print(f"epoch {len(self._scores)}: {seconds:.1f} s, validation NDCG@10 {score:.4f}", flush=True)
        self._write(finished=not patient, best=best)
        for older in self._folder.glob("epoch-*"):
            if older.name != f"epoch-{best + 1}":
                shutil.rmtree(older)
        return not patient or not in_time

    def _keep(self, name: str, items: NDArray[np.float32], histories: dict[str, NDArray[np.float32]]) -> None:
        """Into a folder of its own: a reader follows the report, and never meets half an epoch."""
        (self._folder / name).mkdir(parents=True, exist_ok=True)
        write_vectors(self._folder / name, items, self._known, histories)

    def end(self) -> None:
        """All epochs that were wanted are done."""
        self._write(finished=True, best=int(np.argmax(self._scores)))

    def _write(self, *, finished: bool, best: int) -> None:
        write_report(
            self._folder,
            **self._facts,
            answers=f"epoch-{best + 1}",
            epochs=len(self._scores),
            best_epoch=best + 1,
            seconds=sum(self._seconds),
            seconds_an_epoch=self._seconds,
            validation=self._scores,
            finished=finished,
        )
