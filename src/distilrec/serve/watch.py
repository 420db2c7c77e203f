"""A new model takes over from the old one without a failed request, or does not take over at all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distilrec.errors import ArtifactError, DistilRecError
from distilrec.serve.logs import log
from distilrec.serve.metrics import Metrics
from distilrec.serve.model import Id, InUse, Load, Model, model_folder
from distilrec.serve.settings import ServeSettings

Mark = tuple[tuple[str, int, int, int], ...]
_SMOKE_HISTORIES = 32
_SMOKE_LENGTH = 10
_K = 10


class Watch:
    """Looks at a folder, and changes the model in use when another one lies there and proves good."""

    def __init__(self, run: Path, load: Load, in_use: InUse, settings: ServeSettings, metrics: Metrics) -> None:
        """Watch what `run` names; the model in use was loaded from there."""
        self._run, self._load, self._in_use, self._settings = run, load, in_use, settings
        self._metrics, self._seen = metrics, mark(run)

    async def forever(self) -> None:
        """Look, again and again."""
        while True:
            await asyncio.sleep(self._settings.watch_seconds)
            await self.look()

    async def look(self) -> bool:
        """Look once; whether another model answers now."""
        now = mark(self._run)
        if now == self._seen or not now:
            return False
        try:
            new = await asyncio.to_thread(self._checked)
        except Exception as error:  # whatever is wrong with it, the old one goes on
            told = {"reason": str(error), "model": self._in_use.model.digest}
            ours = None if isinstance(error, DistilRecError | OSError) else error  # its traceback is of use then
            log.error("a new model was refused; the old one goes on", extra=told, exc_info=ours)
            outcome = "refused"
        else:
            outcome = "taken" if new is not self._in_use.model else "the same"
            if outcome == "taken":
                told = {"old": self._in_use.model.digest, "model": new.digest}
                log.info("a new model answers", extra=told)
            self._in_use.model = new
        self._seen = now  # a copy that still grows has another mark at the next look
        self._metrics.reloads.labels(outcome).inc()
        return outcome == "taken"

    def _checked(self) -> Model:
        """The new model, loaded beside the old one; its digests are checked while it is read."""
        old = self._in_use.model
        new = self._load(model_folder(self._run), self._settings.threads)
        if new.digest == old.digest:
            return old
        check(new, old, self._settings.min_overlap)
        return new


def mark(run: Path) -> Mark:
    """Names, sizes and times of a model's files: another model has another mark. Empty where there is none."""
    try:
        folder = model_folder(run).resolve()
        found = [(file.name, file.stat()) for file in sorted(folder.iterdir()) if file.is_file()]
    except (ArtifactError, FileNotFoundError):  # it is being replaced
        return ()
    return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found)


def check(new: Model, old: Model, min_overlap: float) -> None:
    """Let a new model answer a few made-up users.

    Raises:
        ArtifactError: it answers with too few items or no numbers, or all too differently from the old one.
    """
    histories = _smoke_histories(new.items["item_id"].to_list())
    k = min(_K, new.n_items)
    found = new.recommend(histories, k=k, exclude_history=False)
    for one in found:
        if len(one.item_ids) != k or not all(math.isfinite(score) for score in one.scores):
            raise ArtifactError(
                f"the new model gave {len(one.item_ids)} items with scores {list(one.scores)[:3]}; expected {k} items "
                "with finite scores. Export it again"
            )
    overlap = _overlap([one.item_ids for one in found], old, histories, k)
    if overlap < min_overlap:
        raise ArtifactError(
            f"the new model's top {k} share {overlap:.3f} with the old one's; expected at least {min_overlap:g}. Is it "
            "of another catalogue? Start the server anew to take it all the same, or lower --min-overlap"
        )


def _smoke_histories(ids: Sequence[Id]) -> list[list[Id]]:
    draw = np.random.default_rng(0)
    return [[ids[row] for row in draw.integers(0, len(ids), size=_SMOKE_LENGTH)] for _ in range(_SMOKE_HISTORIES)]


def _overlap(lists: Sequence[Sequence[Id]], old: Model, histories: Sequence[Sequence[Id]], k: int) -> float:
    """The share of the new model's items that the old one shows too, over all histories."""
    before = old.recommend(histories, k=min(k, old.n_items), exclude_history=False)
    shared = [len(set(new) & set(was.item_ids)) / k for new, was in zip(lists, before, strict=True)]
    return sum(shared) / len(shared)
