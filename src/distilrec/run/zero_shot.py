"""Knowledge from a language model that was not trained: it ranks what item-kNN would recommend."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distilrec.data.interactions import Interactions
from distilrec.encode.templates import default_template, fill
from distilrec.errors import SettingsError
from distilrec.knowledge import Knowledge
from distilrec.models.item_knn import ItemKNN
from distilrec.recommender import top_items
from distilrec.run.stages import Prepared
from distilrec.run.teacher_stages import ZeroShotTeacher
from distilrec.teach.outside import import_rankings
from distilrec.teach.zero_shot import ZeroShotRanker
from distilrec.teach.zero_shot_lists import Questions, write_rankings
from distilrec.types import Batch, Ragged

_BATCH = 256


def zero_shot_knowledge(
    stage: ZeroShotTeacher,
    prepared: Prepared,
    folder: Path,
    *,
    max_length: int,
    template: str | None = None,
    quiet: bool = False,
) -> tuple[Knowledge, list[str]]:
    """Ask the language model about some users, and make knowledge of its answers, which `rankings.parquet` keeps too.

    Each user's last training event is what is to be ranked first, so it is left out of the history.
    """
    ranker = ZeroShotRanker.load(stage.model, prompt=stage.prompt, likelihood=stage.likelihood)
    asked = questions(prepared, candidates=stage.candidates, users=stage.users)
    told = write_rankings(
        ranker,
        asked,
        folder / "rankings.parquet",
        interactions=prepared.interactions,
        titles=_titles(prepared.interactions, template),
        quiet=quiet,
    )
    knowledge, report = import_rankings(
        folder / "rankings.parquet",
        folder,
        interactions=prepared.interactions,
        split=prepared.split,
        max_length=max_length,
        settings=stage.reading,
    )
    return knowledge, [*told.lines(), *report.lines()]


def questions(prepared: Prepared, *, candidates: int, users: int | None) -> Questions:
    """For each chosen user the training history without its last event, and item-kNN's best new items for it."""
    train, n_items = prepared.split.train, prepared.interactions.n_items
    able = np.flatnonzero(train.lengths >= 2)
    if not len(able):
        raise SettingsError("no user has two training events, so there is nothing to ask a language model")
    most = len(able) if users is None else min(users, len(able))
    chosen = able[np.unique(np.linspace(0, len(able) - 1, num=most, dtype=np.int64))]
    histories = [train[int(user)][:-1] for user in chosen]
    knn = ItemKNN.fit(train, n_items=n_items)
    found = []
    for start in range(0, len(histories), _BATCH):
        part = histories[start : start + _BATCH]
        scores = knn.scores(Batch.of(part))
        for row, history in enumerate(part):
            scores[row, history] = -np.inf
        found += list(top_items(scores, min(candidates, n_items)))
    kept = [np.setdiff1d(row, past) for row, past in zip(found, histories, strict=True)]  # where the catalogue is short
    return Questions(prepared.split.train_users[chosen], Ragged.of(histories), Ragged.of(kept))


def _titles(interactions: Interactions, template: str | None) -> list[str]:
    items = interactions.items
    if template is None and "title" in items.columns:
        template = "{title}"
    return fill(items, template if template is not None else default_template(items))
