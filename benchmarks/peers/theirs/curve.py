"""Validation after each epoch: when to stop, what to keep and where to go on, the same for every peer with epochs."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from files import Heard, ndcg_at_10, write_report, write_vectors
from numpy.typing import NDArray

Vectors = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]  # items, validation, test
Parts = Mapping[str, Any]  # what has `state_dict` and `load_state_dict`: the model, its optimiser
STATE = "state.pt"


class Curve:
    """Keeps on disk the vectors of the best epoch, for readers, and the state of the newest, to go on from."""

    def __init__(self, heard: Heard, folder: Path, settings: dict[str, Any], **facts: Any) -> None:  # noqa: ANN401
        self._heard, self._folder, self._facts = heard, folder, {**facts, "settings": settings}
        self._patience, self._epochs = settings["patience"], settings["epochs"]
        self._until = time.monotonic() + settings["minutes"] * 60
        self._scores: list[float] = []
        self._seconds: list[float] = []
        known = np.zeros(heard.n_items, dtype=bool)
        known[np.concatenate(heard.train)] = True
        self._known = known

    def resume(self, parts: Parts) -> None:
        """Take back what the newest whole epoch left, randomness included; nothing where there is none."""
        if not (self._folder / STATE).is_file():
            return
        state = torch.load(self._folder / STATE, weights_only=False)  # our own file
        self._scores, self._seconds = state["validation"], state["seconds"]
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        python, numpy, torch_state = state["random"]
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)
        print(f"going on after epoch {len(self._scores)}", flush=True)

    def over(self) -> bool:
        """Whether there is nothing left to learn: all epochs are done, or none of the newest was the best."""
        return len(self._scores) >= self._epochs or len(self._scores) - 1 - self._best() >= self._patience

    def add(self, seconds: float, vectors: Callable[[], Vectors], parts: Parts) -> bool:
        """Note an epoch that took this long; return whether to stop, because it is over or for want of time."""
        items, validation, test = vectors()
        shown = np.where(self._known[:, None], items, 0)
        score = ndcg_at_10(validation, shown, self._heard.validation)
        self._scores.append(score)
        self._seconds.append(seconds)
        best = self._best()
        if best == len(self._scores) - 1:
            self._keep(f"epoch-{best + 1}", items, {"validation": validation, "test": test})
        print(f"epoch {len(self._scores)}: {seconds:.1f} s, validation NDCG@10 {score:.4f}", flush=True)
        self._write(best)
        self._save(parts)
        for older in self._folder.glob("epoch-*"):
            if older.name != f"epoch-{best + 1}":
                shutil.rmtree(older)
        return self.over() or time.monotonic() > self._until

    def _best(self) -> int:
        return int(np.argmax(self._scores)) if self._scores else 0

    def _keep(self, name: str, items: NDArray[np.float32], histories: dict[str, NDArray[np.float32]]) -> None:
        """Into a folder of its own: a reader follows the report, and never meets half an epoch."""
        (self._folder / name).mkdir(parents=True, exist_ok=True)
        write_vectors(self._folder / name, items, self._known, histories)

    def _save(self, parts: Parts) -> None:
        state = {
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "random": (random.getstate(), np.random.get_state(), torch.get_rng_state()),
            "validation": self._scores,
            "seconds": self._seconds,
        }
        beside = self._folder / f".{STATE}"
        torch.save(state, beside)
        beside.replace(self._folder / STATE)

    def _write(self, best: int) -> None:
        write_report(
            self._folder,
            **self._facts,
            answers=f"epoch-{best + 1}",
            epochs=len(self._scores),
            best_epoch=best + 1,
            seconds=sum(self._seconds),
            seconds_an_epoch=self._seconds,
            validation=self._scores,
            finished=self.over(),
        )
