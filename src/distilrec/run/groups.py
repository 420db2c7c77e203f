"""What prepared data tells an evaluation: groups of its cases, and what is known of the items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distilrec.errors import SettingsError
from distilrec.evaluate.beyond import Beyond, Catalogue, beyond_accuracy
from distilrec.evaluate.diversity import category_shares
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.lists import TopLists
from distilrec.evaluate.slices import Slicing, by_item_column, by_user_column, standard_slicings
from distilrec.recommender import Recommender
from distilrec.run.recipe import EvaluateStage
from distilrec.run.stages import Prepared, judge
from distilrec.types import Cases, FloatArray, IntArray

_OF = ("user", "item")
_LIST_LENGTH = 10


def train_counts(prepared: Prepared) -> IntArray:
    """How often each item was chosen in training, [N]."""
    return np.bincount(prepared.split.train.values, minlength=prepared.interactions.n_items).astype(
        np.int64, copy=False
    )


def slicings_of(
    prepared: Prepared, cases: Cases, *, columns: Sequence[str] = (), separator: str | None = None
) -> list[Slicing]:
    """The standard groups, then those of columns such as `user.gender` and `item.genres`.

    Args:
        separator: what parts several values in a text of the items, such as "|".
    """
    found = standard_slicings(cases, train_counts(prepared))
    for column in columns:
        table, dot, name = column.partition(".")
        if not dot or table not in _OF:
            raise SettingsError(f"column {column!r}: expected user.NAME or item.NAME, such as user.gender")
        if table == "user":
            found.append(by_user_column(cases, prepared.interactions.users, name))
        else:
            found.append(by_item_column(cases, prepared.interactions.items, name, separator=separator))
    return found


def catalogue_of(
    prepared: Prepared,
    *,
    vectors: FloatArray | None = None,
    categories: str | None = None,
    separator: str | None = None,
) -> Catalogue:
    """What is known of the items; `categories` is the column of theirs that holds them."""
    items, train = prepared.interactions.items, prepared.split.train
    if vectors is not None and len(vectors) != items.height:
        raise SettingsError(f"there are {len(vectors)} vectors for {items.height} items; encode this catalogue")
    shares = category_shares(items, categories, separator=separator) if categories is not None else None
    return Catalogue(train_counts(prepared), len(train), vectors, shares)


def judge_lists(
    recommender: Recommender,
    prepared: Prepared,
    settings: EvaluateStage,
    catalogue: Catalogue,
    *,
    on: str = "test",
    quiet: bool = False,
) -> tuple[Evaluation, Beyond]:
    """Evaluate, and measure the ten items that each case is shown, in one ranking; all in the evaluation's columns."""
    cases, k = prepared.cases(on), min(_LIST_LENGTH, recommender.n_items)
    lists = TopLists(len(cases), recommender.n_items, k=k)
    found = judge(recommender, prepared, settings, on=on, watch=lists, quiet=quiet)
    shown = beyond_accuracy(lists.items, cases, catalogue)
    return found.with_columns(shown.per_case), shown
