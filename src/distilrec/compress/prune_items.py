"""Rare items share vectors: they stay in the catalogue, and are ranked as what they are most like."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from pydantic import Field

from distilrec.compress.retraining import Retraining, retrained, wanted_training
from distilrec.compress.share import TABLES
from distilrec.compress.steps import packed_of, restored
from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.recommender import POPULARITY_COLUMN, Recommender
from distilrec.seeding import generator
from distilrec.storage import SharedRows, clusters
from distilrec.storage.form import Array
from distilrec.types import FloatArray, IntArray


class PruneItems(Settings):
    """Items that were rarely chosen in training lose vectors of their own."""

    kind: Literal["prune_items"] = "prune_items"
    """Its name."""
    share: float = Field(0.5, gt=0, lt=1)
    """How many of the items: the least chosen ones; of equally often chosen ones the later rows."""
    fallback: Literal["clusters", "nearest", "column"] = "clusters"
    """What a rare item gets: the mean of a cluster of rare items, the vector of the nearest item that keeps its own, or
    the mean of those with the same value in a column of the catalogue."""
    clusters: int = Field(256, ge=1)
    """How many clusters."""
    column: str | None = None
    """For `column`: which, such as category."""
    seed: int = Field(0, ge=0)
    """Of the clusters."""
    retrain: bool = True
    """Whether the model is trained once more."""


def prune_items(recommender: Recommender, settings: PruneItems, training: Retraining | None) -> Recommender:
    """The same model with fewer different vectors of items.

    Items that share a vector have equal scores, whatever is asked; what is lost is lost among rare ones.

    Raises:
        SettingsError: the table is stored in a form already, a column is missing, all items would go, or there is
            nothing to train with.
    """
    wanted = wanted_training(recommender, settings, training)
    packed = packed_of(recommender)
    counts = recommender.items[POPULARITY_COLUMN].to_numpy()
    n_rare = round(settings.share * len(counts))
    order = np.argsort(-counts, kind="stable")
    kept, rare = np.sort(order[: len(order) - n_rare]), np.sort(order[len(order) - n_rare :])
    if not len(kept) or not len(rare):
        raise SettingsError(f"prune_items: a share of {settings.share} of {len(counts)} items leaves none, or all")
    names = [name for name in TABLES if name in packed.names()]
    like = _like(recommender, settings, packed.array(names[0]), kept, rare)
    for name in names:
        if name in packed.forms:
            raise SettingsError(
                f"prune_items: {name} is stored as {packed.forms[name].form} already; prune items before that, or "
                "start from the model that was not compressed"
            )
        shared = _sharing(packed.array(name), rare, like)
        packed = packed.replacing(name, SharedRows(), SharedRows().encode(shared))
    return retrained(restored(recommender, packed, done=settings, facts={"items_kept": len(kept)}), wanted)


def _like(
    recommender: Recommender, settings: PruneItems, table: Array, kept: IntArray, rare: IntArray
) -> tuple[str, IntArray]:
    """For each rare item a row of the table that it takes, or the group whose mean it takes."""
    if settings.fallback == "nearest":
        return "row", kept[clusters.nearest(table[rare], np.ascontiguousarray(table[kept]))]
    if settings.fallback == "clusters":
        draw = generator(settings.seed, "prune_items")
        k = min(settings.clusters, len(rare))
        centres = clusters.k_means(np.ascontiguousarray(table[rare]), k, draw, rounds=25)
        return "group", clusters.nearest(table[rare], centres)
    column = settings.column
    if column is None or column not in recommender.items.columns:
        raise SettingsError(
            f"prune_items: fallback is column and column is {column!r}; the catalogue has "
            f"{', '.join(recommender.items.columns)}"
        )
    values = recommender.items[column].cast(pl.String).fill_null("").to_numpy()[rare]
    return "group", np.unique(values, return_inverse=True)[1].reshape(-1)


def _sharing(table: Array, rare: IntArray, like: tuple[str, IntArray]) -> FloatArray:
    """The table with the rare items' rows replaced."""
    what, rows = like
    changed: FloatArray = np.array(table, dtype=np.float32)
    if what == "row":
        changed[rare] = table[rows]
        return changed
    for group in np.unique(rows):
        members = rare[rows == group]
        changed[members] = table[members].mean(axis=0)
    return changed
