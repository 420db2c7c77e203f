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

    Who has no history is taken to like what is as popular as the average event. Abdollahpouri et al., RMSE 2019.
    """
    lengths = histories.lengths
    sums = np.bincount(owners_of(histories), weights=counts[histories.values], minlength=len(histories))
    of_events = float((counts.astype(np.float64) ** 2).sum() / max(int(counts.sum()), 1))
    chosen = np.where(lengths > 0, sums / np.maximum(lengths, 1), of_events)
    return average_popularity(lists, counts) / np.maximum(chosen, np.finfo(np.float64).tiny) - 1


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
    asked = owners_of(relevant) * span + relevant.values
    shown = np.arange(len(lists))[:, None] * span + lists
    return np.isin(shown, asked) & (lists >= 0)


def _mean_over(lists: IntArray, values: Values) -> Values:
    there = lists >= 0
    sums: Values = np.where(there, values, 0.0).sum(axis=1)
    means: Values = sums / np.maximum(there.sum(axis=1), 1)
    return means
