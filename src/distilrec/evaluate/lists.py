"""The lists that a model would show: the best k items of every case, kept while everything is ranked anyway."""

from __future__ import annotations

import numpy as np

from distilrec.evaluate.ranking import check_cutoffs, owners_of
from distilrec.evaluate.scoring import scored_batches
from distilrec.types import Cases, FloatArray, IntArray, Scorer

NOTHING = -1
_SCORES_AT_ONCE = 1 << 20  # 4 MiB
_BLOCK = 16  # how many scores, at most, whose largest is looked at first


class TopLists:
    """Given to `evaluate` as `watch`, it costs no second scoring. Of equal scores the lower row number is first."""

    def __init__(self, n_cases: int, n_items: int, *, k: int = 10) -> None:
        check_cutoffs([k], n_items)
        self._n_items = n_items
        self.items: IntArray = np.full((n_cases, k), NOTHING, dtype=np.int64)
        """Row numbers, best first, [C, k]; -1 where nothing is left to show."""
        self._scores: FloatArray = np.full((n_cases, k), -np.inf, dtype=np.float32)

    def __call__(self, rows: IntArray, scores: FloatArray) -> None:
        """Note what is shown in cases of these numbers [B], by their scores [B, N], -infinity where excluded."""
        self.note(rows, scores)

    def note(self, rows: IntArray, scores: FloatArray, *, first_item: int = 0) -> None:
        """The same by scores of some items [B, n], from a row number on; later parts of the catalogue come later."""
        k = self.items.shape[1]
        found = best_items(scores, min(k, scores.shape[1]))  # [B, at most k]
        if scores.shape[1] == self._n_items:
            self.items[rows] = found  # of the whole catalogue: there is nothing to merge with
            return
        reached = np.where(found == NOTHING, -np.inf, np.take_along_axis(scores, found, axis=1))
        items = np.concatenate([self.items[rows], np.where(found == NOTHING, NOTHING, found + first_item)], axis=1)
        both = np.concatenate([self._scores[rows], reached], axis=1)
        best = np.argsort(-both, axis=1, kind="stable")[:, :k]  # of equal scores, what was noted first
        self.items[rows] = np.take_along_axis(items, best, axis=1)
        self._scores[rows] = np.take_along_axis(both, best, axis=1)


def top_lists(
    scorer: Scorer, cases: Cases, *, k: int = 10, exclude_history: bool = True, quiet: bool = False
) -> IntArray:
    """The best k items of every case, best first, [C, k]; -1 where nothing is left to show."""
    lists = TopLists(len(cases), scorer.n_items, k=k)
    step = max(1, _SCORES_AT_ONCE // scorer.n_items)
    for scored in scored_batches(scorer, cases, quiet=quiet):
        for start in range(0, len(scored.rows), step):
            rows, left = scored.rows[start : start + step], scored.scores[start : start + step].copy()
            if exclude_history:
                excluded = scored.histories.between(start, start + step)
                left[owners_of(excluded), excluded.values] = -np.inf
            lists(rows, left)
    return lists.items


def best_items(scores: FloatArray, k: int) -> IntArray:
    """Row numbers of the k highest scores, best first, [B, k]; -1 where there are no more that are above -infinity."""
    least = np.maximum(_reached(scores, k), np.finfo(np.float32).min)  # [B]
    found = np.flatnonzero(scores >= least[:, None])
    cases, items = np.divmod(found, scores.shape[1])
    counts = np.bincount(cases, minlength=len(scores))
    place = np.arange(len(found)) - (np.cumsum(counts) - counts)[cases]  # among those found of its case
    shape = len(scores), max(k, int(counts.max(initial=0)))
    held, names = np.full(shape, np.inf, dtype=np.float32), np.full(shape, NOTHING, dtype=np.int64)
    held[cases, place], names[cases, place] = -scores.ravel()[found], items
    order = np.argsort(held, axis=1, kind="stable")[:, :k]  # equal scores stay in the order of the catalogue
    best: IntArray = np.take_along_axis(names, order, axis=1)
    return best


def _reached(scores: FloatArray, k: int) -> FloatArray:
    """What at least k scores of each case reach, and few more: the k-th highest of the blocks' largest, [B]."""
    n_cases, n_items = scores.shape
    block = max(1, min(_BLOCK, n_items // (4 * k)))
    n_blocks = n_items // block
    largest = scores[:, : n_blocks * block].reshape(n_cases, block, n_blocks).max(axis=1)
    largest = np.concatenate([largest, scores[:, n_blocks * block :]], axis=1)
    reached: FloatArray = np.partition(largest, largest.shape[1] - k, axis=1)[:, -k]
    return reached
