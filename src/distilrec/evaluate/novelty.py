"""How far what is shown lies from what everybody has anyway; one number for each case.

Lists are row numbers `[C, k]`, best first, -1 where nothing is shown. `counts` `[N]` is how often each item was chosen
in training. A list that is empty has the value 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import SettingsError
from distilrec.evaluate.accuracy import Values
from distilrec.evaluate.ranking import owners_of
from distilrec.types import IntArray, Ragged


def average_popularity(lists: IntArray, counts: IntArray) -> Values:
    """How often the items shown were chosen in training, on average, [C]."""
    return _mean_over(lists, counts[lists].astype(np.float64))


def popularity_lift(lists: IntArray, histories: Ragged, counts: IntArray) -> Values:
    """By which share what is shown is more popular than what the user chose, [C]: 0 is as popular, 1 is twice.

    Who has no history, or one of items that nobody chose in training, is taken to like what the average event does.
    Abdollahpouri et al., RMSE 2019.
    """
    return lift(average_popularity(lists, counts), popularity_of_histories(histories, counts))


def lift(shown: Values, chosen: Values) -> Values:
    """By which share one popularity is above another."""
    return shown / np.maximum(chosen, np.finfo(np.float64).tiny) - 1


def popularity_of_histories(histories: Ragged, counts: IntArray) -> Values:
    """How often the items of each history were chosen in training, on average, [C].

    Where there are none, or none of them ever was, it is what the average event's item was.
    """
    before = np.concatenate([[0], np.cumsum(counts[histories.values])])
    sums, lengths = np.diff(before[histories.offsets]), histories.lengths
    of_events = float((counts.astype(np.float64) ** 2).sum() / max(int(counts.sum()), 1))
    return np.where(sums > 0, sums / np.maximum(lengths, 1), of_events)


def novelty(lists: IntArray, counts: IntArray, n_users: int) -> Values:
    """How surprising the items shown are, in bits, [C]: the mean of -log2(the share of users who chose each).

    An item that nobody chose counts as chosen by one. Zhou et al., PNAS 2010; Castells, Hurley and Vargas, 2015.
    """
    if n_users < 1:
        raise SettingsError(f"n_users is {n_users}; expected the number of users in training, at least 1")
    bits = -np.log2(np.clip(counts, 1, n_users) / n_users)
    return _mean_over(lists, bits[lists])


def share_of_new(lists: IntArray, counts: IntArray, *, most: int = 0) -> Values:
    """The share of what is shown that was chosen at most that often in training, [C]."""
    return _mean_over(lists, (counts[lists] <= most).astype(np.float64))


def serendipity(lists: IntArray, relevant: Ragged, counts: IntArray) -> Values:
    """How far the hits stand above the places that popularity alone would give them, summed, over k, [C].

    A hit at rank r, whose popularity is the p-th of the different ones, counts (p - r) / N where that is above 0; what
    nobody chose counts as if p were N + 1. RecTools' definition.
    """
    n_items, k = len(counts), lists.shape[1]
    popularity_rank = np.unique(-counts, return_inverse=True)[1] + 1
    popularity_rank[counts == 0] = n_items + 1
    surprise = np.maximum(popularity_rank[lists] - np.arange(1, k + 1), 0) / n_items
    shares: Values = np.where(hits(lists, relevant), surprise, 0.0).sum(axis=1) / k
    return shares


def hits(lists: IntArray, relevant: Ragged) -> NDArray[np.bool_]:
    """Which of the items shown are relevant, [C, k]."""
    span = max(int(lists.max(initial=0)), int(relevant.values.max(initial=0))) + 1
    asked = np.sort(owners_of(relevant) * span + relevant.values)
    if not len(asked):
        return np.zeros(lists.shape, dtype=np.bool_)
    shown = np.arange(len(lists))[:, None] * span + lists
    nearest = np.minimum(np.searchsorted(asked, shown), len(asked) - 1)
    found: NDArray[np.bool_] = (asked[nearest] == shown) & (lists >= 0)
    return found


def _mean_over(lists: IntArray, values: Values) -> Values:
    there = lists >= 0
    sums: Values = np.where(there, values, 0.0).sum(axis=1)
    means: Values = sums / np.maximum(there.sum(axis=1), 1)
    return means
