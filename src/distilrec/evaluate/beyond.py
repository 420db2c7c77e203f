"""Whether a model reaches beyond what is popular: accuracy on the tail of the catalogue, and how much it ever shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import SettingsError
from distilrec.evaluate.ranking import check_cutoffs
from distilrec.types import Batch, Cases, IntArray, Ragged, Scorer

BoolArray = NDArray[np.bool_]
HEAD_SHARE = 0.2


def tail_items(counts: IntArray, *, head_share: float = HEAD_SHARE) -> BoolArray:
    """Which items are in the tail, [N]: all but the head, the fewest items that hold `head_share` of the events.

    `counts` [N] says how often each was chosen in training; of equally popular ones the first are the head's.
    Cremonesi, Koren and Turrin, RecSys 2010, who take a third of the events.
    """
    if not 0 <= head_share < 1:
        raise SettingsError(f"head_share is {head_share}; expected a share of the events, from 0 to below 1")
    order = np.argsort(-counts, kind="stable")
    held_before = np.cumsum(counts[order]) - counts[order]  # by more popular ones
    tail = np.empty(len(counts), dtype=np.bool_)
    tail[order] = held_before >= head_share * counts.sum()
    return tail


def cases_in_tail(cases: Cases, tail: BoolArray) -> Cases:
    """The cases with those of their relevant items that are in the tail; cases without any are left out.

    `evaluate` of these is a model's accuracy on the tail, among the whole catalogue as ever.
    """
    owners = np.repeat(np.arange(len(cases)), cases.relevant.lengths)
    kept = tail[cases.relevant.values]
    counts = np.bincount(owners[kept], minlength=len(cases))  # [C]
    rows = np.flatnonzero(counts)
    relevant = Ragged(cases.relevant.values[kept], np.concatenate([[0], np.cumsum(counts[rows])]))
    return replace(cases, users=cases.users[rows], histories=cases.histories.take(rows), relevant=relevant)


def coverage(
    scorer: Scorer, cases: Cases, *, k: int = 10, exclude_history: bool = True, batch_size: int = 512
) -> float:
    """The share of the catalogue that is among the best k items of at least one case.

    Which of items with equal scores are shown is left open. Ge, Delgado-Battenfeld and Jannach, RecSys 2010.
    """
    check_cutoffs([k], scorer.n_items)
    max_length: int | None = getattr(scorer, "max_length", None)
    shown = np.zeros(scorer.n_items, dtype=np.bool_)
    by_length = np.argsort(-cases.histories.lengths, kind="stable")
    for start in range(0, len(cases), batch_size):
        histories = list(cases.histories.take(by_length[start : start + batch_size]))
        scores = np.array(scorer.scores(Batch.of(histories, max_length=max_length)))  # [B, N]
        if exclude_history:
            for row, history in enumerate(histories):
                scores[row, history] = -np.inf
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]  # [B, k]
        shown[best[np.isfinite(np.take_along_axis(scores, best, axis=1))]] = True
    return float(shown.mean())
