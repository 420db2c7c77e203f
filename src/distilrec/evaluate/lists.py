"""The lists that a model would show: the best k items of every case, kept while everything is ranked anyway."""

from __future__ import annotations

import numpy as np

from distilrec.evaluate.ranking import check_cutoffs, owners_of
from distilrec.evaluate.scoring import scored_batches
from distilrec.types import Cases, FloatArray, IntArray, Ragged, Scorer

NOTHING = -1
_SCORES_AT_ONCE = 1 << 22  # 16 MiB


class TopLists:
    """Given to `evaluate` as `watch`, it costs no second scoring. Of equal scores the lower row number is first."""

    def __init__(self, cases: Cases, n_items: int, *, k: int = 10, exclude_history: bool = True) -> None:
        check_cutoffs([k], n_items)
        self._histories = cases.histories if exclude_history else None
        self.items: IntArray = np.full((len(cases), k), NOTHING, dtype=np.int64)
        """Row numbers, best first, [C, k]; -1 where nothing is left to show."""

    def __call__(self, rows: IntArray, scores: FloatArray) -> None:
        """Note what is shown in cases of these numbers [B], by their scores [B, N]."""
        step = max(1, _SCORES_AT_ONCE // scores.shape[1])
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            excluded = None if self._histories is None else self._histories.take(some)
            self.items[some] = best_items(scores[start : start + step], self.items.shape[1], excluded)


def top_lists(
    scorer: Scorer, cases: Cases, *, k: int = 10, exclude_history: bool = True, quiet: bool = False
) -> IntArray:
    """The best k items of every case, best first, [C, k]; -1 where nothing is left to show."""
    lists = TopLists(cases, scorer.n_items, k=k, exclude_history=exclude_history)
    for scored in scored_batches(scorer, cases, quiet=quiet):
        lists(scored.rows, scored.scores)
    return lists.items


def best_items(scores: FloatArray, k: int, excluded: Ragged | None = None) -> IntArray:
    """Row numbers of the k highest scores that are not excluded, best first, [B, k]; -1 where there are no more.

    An item that is scored -infinity is never shown.
    """
    n_cases, n_items = scores.shape
    left = scores.copy()
    if excluded is not None:
        left[owners_of(excluded), excluded.values] = -np.inf
    least = np.partition(left, n_items - k, axis=1)[:, n_items - k, None]  # the value alone: ties are settled below
    found = np.flatnonzero(left >= np.maximum(least, np.finfo(np.float32).min))
    cases, items = np.divmod(found, n_items)
    order = np.lexsort((-left.ravel()[found], cases))  # stable: equal scores stay in the order of the catalogue
    cases, items = cases[order], items[order]
    place = np.arange(len(cases)) - np.searchsorted(cases, cases)
    shown = place < k
    best = np.full((n_cases, k), NOTHING, dtype=np.int64)
    best[cases[shown], place[shown]] = items[shown]
    return best
