"""Metrics of accuracy, made of the ranks of the relevant items: one number for each case.

All are plain functions of `ranks`, a row a case as `ranking.ranks_of_relevant` gives them. Where other libraries mean
something else by the same name, docs/evaluation.md says what.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import DataError
from distilrec.types import IntArray, Ragged

Values = NDArray[np.float64]


def ndcg(ranks: Ragged, k: int) -> Values:
    """Normalised discounted cumulative gain, binary: sum of 1 / log2(1 + rank) over hits, over the best possible.

    The best possible has min(n_relevant, k) hits at the top. Järvelin and Kekäläinen, TOIS 2002.
    """
    gains = np.where(ranks.values <= k, 1 / np.log2(1 + ranks.values), 0.0)
    ideal = np.cumsum(1 / np.log2(1 + np.arange(1, k + 1)))  # [k]: the gain of 1, 2, ... k hits at the top
    best: Values = ideal[np.minimum(_n_relevant(ranks), k) - 1]
    return _sums(ranks, gains) / best


def recall(ranks: Ragged, k: int) -> Values:
    """The share of the relevant items that stand among the first k: hits / n_relevant."""
    return _hits(ranks, k) / _n_relevant(ranks)


def precision(ranks: Ragged, k: int) -> Values:
    """The share of the first k that is relevant: hits / k. With one relevant item it cannot exceed 1 / k."""
    return _hits(ranks, k) / k


def hit_rate(ranks: Ragged, k: int) -> Values:
    """1 where any relevant item stands among the first k, else 0. Equals recall where one item is relevant."""
    return (_hits(ranks, k) > 0).astype(np.float64)


def f1(ranks: Ragged, k: int) -> Values:
    """The harmonic mean of precision and recall, 2 hits / (k + n_relevant)."""
    return 2 * _hits(ranks, k) / (k + _n_relevant(ranks))


def average_precision(ranks: Ragged, k: int) -> Values:
    """The mean of the precisions at the ranks of the hits, over min(n_relevant, k): its mean over cases is MAP.

    So a list that has nothing but hits gets 1.
    """
    owners = _owners(ranks)
    best_first = np.lexsort((ranks.values, owners))  # cases stay in their order
    hits_so_far = np.arange(len(owners)) - ranks.offsets[owners] + 1
    in_order = ranks.values[best_first]
    precisions = np.where(in_order <= k, hits_so_far / in_order, 0.0)
    return _sums(ranks, precisions) / np.minimum(_n_relevant(ranks), k)


def mrr(ranks: Ragged, k: int | None = None) -> Values:
    """The reciprocal of the best relevant rank; 0 where that rank is beyond k. Without k, over the whole list.

    Voorhees, TREC-8 question answering, 1999.
    """
    _n_relevant(ranks)
    best = np.minimum.reduceat(ranks.values, ranks.offsets[:-1]) if len(ranks) else ranks.values
    return np.where(best <= (k or np.inf), 1 / best, 0.0)


def auc(ranks: Ragged, n_ranked: IntArray) -> Values:
    """The share of pairs of a relevant and another item in which the relevant one stands first.

    Args:
        n_ranked: how many items each case ranks, [C]: the catalogue without what is excluded. A case in which nothing
            but relevant items is ranked has no pairs, and gets 1: nothing stands before them.
    """
    n_relevant = _n_relevant(ranks)
    if len(n_ranked) != len(ranks) or (n_ranked < n_relevant).any():
        raise DataError(
            f"n_ranked has {len(n_ranked)} numbers for {len(ranks)} cases, or says that fewer items are ranked than "
            "are relevant; expected one number a case, relevant items included"
        )
    others_before = _sums(ranks, ranks.values.astype(np.float64)) - n_relevant * (n_relevant + 1) / 2
    pairs = n_relevant * (n_ranked - n_relevant)
    return 1 - others_before / np.maximum(pairs, 1)


METRICS_AT_K: dict[str, Callable[[Ragged, int], Values]] = {
    "ndcg": ndcg,
    "recall": recall,
    "hit_rate": hit_rate,
    "mrr": mrr,
    "precision": precision,
    "f1": f1,
    "map": average_precision,
}
"""Metrics that look at the first k; each is named `name@k` in an evaluation."""


def _owners(ranks: Ragged) -> IntArray:
    return np.repeat(np.arange(len(ranks)), ranks.lengths)


def _sums(ranks: Ragged, values: Values) -> Values:
    return np.bincount(_owners(ranks), weights=values, minlength=len(ranks)).astype(np.float64, copy=False)


def _hits(ranks: Ragged, k: int) -> Values:
    return _sums(ranks, (ranks.values <= k).astype(np.float64))


def _n_relevant(ranks: Ragged) -> IntArray:
    lengths = ranks.lengths
    if (lengths == 0).any():
        raise DataError(f"case {int(np.argmin(lengths))} has no relevant item; this metric needs at least one")
    return lengths
