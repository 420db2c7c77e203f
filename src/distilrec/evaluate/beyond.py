"""Whether a model reaches beyond what is popular: accuracy on the tail of the catalogue, and how much it ever shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import SettingsError
from distilrec.evaluate.ranking import check_cutoffs
from distilrec.types import Cases, FloatArray, IntArray

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


def cases_in_tail(cases: Cases, tail: BoolArray) -> BoolArray:
    """Which cases ask for items of the tail and for no others, [C].

    A model's accuracy on the tail is its mean over these rows of an evaluation: among the whole catalogue, as ever.
    """
    of_head = np.repeat(np.arange(len(cases)), cases.relevant.lengths)[~tail[cases.relevant.values]]
    found = np.ones(len(cases), dtype=np.bool_)
    found[of_head] = False
    return found


class Coverage:
    """The share of the catalogue that is among the best k items of at least one case.

    Given to `evaluate` as `watch`, it costs no second ranking. Which of items with equal scores are shown is left open.
    Ge, Delgado-Battenfeld and Jannach, RecSys 2010.
    """

    def __init__(self, cases: Cases, n_items: int, *, k: int = 10, exclude_history: bool = True) -> None:
        check_cutoffs([k], n_items)
        self._histories = cases.histories if exclude_history else None
        self._k, self._shown = k, np.zeros(n_items, dtype=np.bool_)

    def __call__(self, rows: IntArray, scores: FloatArray) -> None:
        """Note what is shown in cases of these numbers [B], by their scores [B, N]."""
        for row, own in zip(rows, scores, strict=True):
            left = own.copy()
            if self._histories is not None:
                left[self._histories[int(row)]] = -np.inf
            best = np.argpartition(left, len(left) - self._k)[-self._k :]
            self._shown[best[np.isfinite(left[best])]] = True

    @property
    def share(self) -> float:
        """Of the cases that were seen so far."""
        return float(self._shown.mean())
