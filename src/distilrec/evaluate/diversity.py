"""How varied each list is, and whether it has the mixture that the user likes; one number for each case.

Lists are row numbers `[C, k]`, best first, -1 where nothing is shown.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from distilrec.errors import DataError
from distilrec.evaluate.accuracy import Values
from distilrec.evaluate.columns import labels_of
from distilrec.evaluate.ranking import owners_of
from distilrec.types import FloatArray, IntArray, Ragged

_SMOOTHING = 0.01
_AT_ONCE = 1 << 22  # numbers held at once: 16 MiB


def diversity_by_vectors(lists: IntArray, vectors: FloatArray) -> Values:
    """The mean of 1 - cosine over the pairs of a list, [C]; 0 where it has fewer than two items.

    `vectors` [N, F] say what items are like: of their texts, say. Ziegler et al., WWW 2005.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    found = np.empty(len(lists))
    step = max(1, _AT_ONCE // (lists.shape[1] * vectors.shape[1]))
    for start in range(0, len(lists), step):
        some = lists[start : start + step]
        there = some >= 0
        own = np.where(there[..., None], unit[some], 0).astype(np.float64)  # [c, k, F]
        total, single = own.sum(axis=1), (own**2).sum(axis=(1, 2))
        n = there.sum(axis=1)
        pairs = n * (n - 1)
        alike = (total**2).sum(axis=1) - single  # of all pairs, each twice
        found[start : start + step] = np.where(pairs > 0, 1 - alike / np.maximum(pairs, 1), 0.0)
    return found


def diversity_by_categories(lists: IntArray, categories: FloatArray) -> Values:
    """The mean over the pairs of a list of 1 - the share of their categories that both have (Jaccard), [C]."""
    has = categories > 0  # [N, G]
    found = np.empty(len(lists))
    step = max(1, _AT_ONCE // (lists.shape[1] * max(has.shape[1], lists.shape[1])))
    for start in range(0, len(lists), step):
        some = lists[start : start + step]
        there = some >= 0
        own = np.where(there[..., None], has[some], False).astype(np.float32)  # [c, k, G]
        both = own @ own.transpose(0, 2, 1)  # [c, k, k]
        each = own.sum(axis=2)
        either = each[:, :, None] + each[:, None, :] - both
        apart = 1 - both / np.maximum(either, 1)
        pairs = there[:, :, None] & there[:, None, :] & ~np.eye(lists.shape[1], dtype=np.bool_)
        found[start : start + step] = np.where(pairs, apart, 0).sum(axis=(1, 2)) / np.maximum(pairs.sum(axis=(1, 2)), 1)
    return found


def miscalibration(lists: IntArray, histories: Ragged, categories: FloatArray) -> Values:
    """How far the mixture of categories shown is from that of the history, [C]: 0 is the same mixture.

    The Kullback-Leibler divergence of Steck, RecSys 2018, in nats, with his smoothing of what is shown (equation 6,
    alpha = 0.01). Items without a category are left out; a case where nothing else is left has the value 0.

    Args:
        categories: the share of each category in each item, [N, G], as `category_shares` gives them.
    """
    liked = np.zeros((len(lists), categories.shape[1]))
    np.add.at(liked, owners_of(histories), categories[histories.values])
    shown = np.where((lists >= 0)[..., None], categories[lists], 0).sum(axis=1, dtype=np.float64)
    p, q = _as_shares(liked), _as_shares(shown)
    smoothed = (1 - _SMOOTHING) * q + _SMOOTHING * p
    terms = np.where(p > 0, p * np.log(np.maximum(p, 1e-300) / np.maximum(smoothed, 1e-300)), 0.0)
    known = (p.sum(axis=1) > 0) & (q.sum(axis=1) > 0)
    return np.where(known, terms.sum(axis=1), 0.0)


def category_shares(items: pl.DataFrame, column: str, *, separator: str | None = None) -> FloatArray:
    """The share of each category in each item, [N, G]: an item of two kinds has a half of each.

    Args:
        separator: what parts several categories in a text, such as "|".
    """
    labels = labels_of(items, column, separator, "items")
    names = labels["label"].unique().sort()
    if not len(names):
        raise DataError(f"column {column!r} is empty; expected a category of at least one item")
    shares: FloatArray = np.zeros((items.height, len(names)), dtype=np.float32)
    shares[labels["row"].to_numpy(), names.search_sorted(labels["label"]).to_numpy()] = 1
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    return shares


def _as_shares(amounts: Values) -> Values:
    totals = amounts.sum(axis=1, keepdims=True)
    return amounts / np.where(totals > 0, totals, 1)
