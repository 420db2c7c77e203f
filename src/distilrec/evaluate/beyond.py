"""What accuracy does not tell of the lists that a model shows: how new, varied and evenly spread they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from distilrec.errors import SettingsError
from distilrec.evaluate.accuracy import Values
from distilrec.evaluate.diversity import diversity_by_categories, diversity_by_vectors, miscalibration
from distilrec.evaluate.exposure import coverage, entropy, gini, times_shown
from distilrec.evaluate.lists import TopLists
from distilrec.evaluate.novelty import (
    average_popularity,
    lift,
    novelty,
    popularity_of_histories,
    serendipity,
    share_of_new,
)
from distilrec.types import Cases, FloatArray, IntArray

BoolArray = NDArray[np.bool_]
HEAD_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What is known of the items, by row number."""

    counts: IntArray  # [N], how often each was chosen in training
    n_users: int  # users in training
    vectors: FloatArray | None = None  # [N, F], what items are like, from their texts, say
    categories: FloatArray | None = None  # [N, G], from `diversity.category_shares`


@dataclass(frozen=True, eq=False)
class Beyond:
    """What was found of the lists."""

    per_case: pl.DataFrame  # novelty@k, ... one row a case: for `Evaluation.with_columns`
    totals: dict[str, float]  # coverage@k, gini@k, entropy@k: of all lists together


def beyond_accuracy(
    lists: IntArray, cases: Cases, catalogue: Catalogue, *, cutoffs: Sequence[int] | None = None
) -> Beyond:
    """All measures of lists `[C, K]`, as `lists.top_lists` gives them; those of vectors and categories where known.

    Args:
        cutoffs: how much of a list is looked at; left out, all of it.
    """
    chosen = popularity_of_histories(cases.histories, catalogue.counts)
    found = [_at(lists[:, :k], cases, catalogue, chosen) for k in cutoffs or (lists.shape[1],)]
    totals = {name: value for one in found for name, value in one.totals.items()}
    return Beyond(pl.concat([one.per_case for one in found], how="horizontal"), totals)


def _at(lists: IntArray, cases: Cases, catalogue: Catalogue, chosen: Values) -> Beyond:
    counts = catalogue.counts
    popularity = average_popularity(lists, counts)
    found = {
        "popularity": popularity,
        "popularity_lift": lift(popularity, chosen),
        "novelty": novelty(lists, counts, catalogue.n_users),
        "new_items": share_of_new(lists, counts),
        "serendipity": serendipity(lists, cases.relevant, counts),
    }
    if catalogue.vectors is not None:
        found["diversity"] = diversity_by_vectors(lists, catalogue.vectors)
    if catalogue.categories is not None:
        found["category_diversity"] = diversity_by_categories(lists, catalogue.categories)
        found["miscalibration"] = miscalibration(lists, cases.histories, catalogue.categories)
    shown, k = times_shown(lists, len(counts)), lists.shape[1]
    totals = {"coverage": coverage(shown), "gini": gini(shown), "entropy": entropy(shown)}
    return Beyond(
        pl.DataFrame({f"{name}@{k}": values for name, values in found.items()}),
        {f"{name}@{k}": value for name, value in totals.items()},
    )


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
    """The share of the catalogue that is among the best k items of at least one case, of the cases seen so far.

    Given to `evaluate` as `watch`, it costs no second ranking.
    """

    def __init__(self, n_cases: int, n_items: int, *, k: int = 10) -> None:
        self._lists, self._n_items = TopLists(n_cases, n_items, k=k), n_items

    def __call__(self, rows: IntArray, scores: FloatArray) -> None:
        """Note what is shown in cases of these numbers [B], by their scores [B, N], -infinity where excluded."""
        self._lists(rows, scores)

    @property
    def share(self) -> float:
        """Of the cases that were seen so far."""
        return coverage(times_shown(self._lists.items, self._n_items))
