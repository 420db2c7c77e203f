"""How a model spreads what it shows over the catalogue; of the lists of all cases together, one number."""

from __future__ import annotations

import numpy as np

from distilrec.errors import DataError
from distilrec.types import IntArray


def times_shown(lists: IntArray, n_items: int) -> IntArray:
    """How often each item is shown, [N], in lists [C, k] of row numbers; -1 is nothing."""
    shown = lists[lists >= 0]
    if not len(shown):
        raise DataError("the lists are empty; expected at least one item in at least one of them")
    if shown.max() >= n_items:
        raise DataError(f"the lists show item {shown.max()}, which is outside the catalogue of {n_items} items")
    return np.bincount(shown, minlength=n_items).astype(np.int64, copy=False)


def coverage(shown: IntArray) -> float:
    """The share of the catalogue that is shown to anybody. Ge, Delgado-Battenfeld and Jannach, RecSys 2010."""
    return float((shown > 0).mean())


def gini(shown: IntArray) -> float:
    """How unequally items are shown: 0 is all equally often, near 1 is one item alone; items never shown count too."""
    in_order, n = np.sort(shown), len(shown)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float((weights * in_order).sum() / (n * in_order.sum()))


def entropy(shown: IntArray) -> float:
    """Shannon's entropy of what is shown, in bits: 2 to that power is how many items it is as if were shown equally."""
    shares = shown[shown > 0] / shown.sum()
    return float(-(shares * np.log2(shares)).sum())
