"""Leave out what should not be learnt from: low ratings, repeats, users and items that are too rare."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from distilrec.config import Settings
from distilrec.data.interactions import Interactions
from distilrec.errors import DataError
from distilrec.types import IntArray


class FilterSettings(Settings):
    """Applied in the order of the fields."""

    min_rating: float | None = None
    """Leave out events with a weight below this."""

    deduplicate: bool = False
    """Keep the first event of each user and item alone."""

    k_core: int = Field(default=0, ge=0)
    """Leave out users and items with fewer events than this, again and again until none is left."""


def filter_interactions(interactions: Interactions, settings: FilterSettings) -> tuple[Interactions, list[str]]:
    """Leave events out, number what is left anew, and say what was left out."""
    events, notes = interactions.events, []
    if settings.min_rating is not None:
        kept = events.filter(pl.col("weight") >= settings.min_rating)
        notes += _note(f"min_rating={settings.min_rating:g}", events, kept)
        events = kept
    if settings.deduplicate:
        kept = events.unique(["user", "item"], keep="first", maintain_order=True)
        notes += _note("deduplicate", events, kept)
        events = kept
    if settings.k_core > 1:
        kept = events.filter(pl.Series(k_core(events["user"].to_numpy(), events["item"].to_numpy(), settings.k_core)))
        notes += _note(f"k_core={settings.k_core}", events, kept)
        events = kept
    if events.is_empty():
        weights = interactions.events["weight"].to_numpy()
        raise DataError(
            f"the filter leaves nothing of {len(weights):,} events with weights from {weights.min():g} to "
            f"{weights.max():g}: "
            f"{'; '.join(notes)}. Use a smaller min_rating or k_core"
        )
    filtered = interactions.with_events(events)
    if filtered.n_users < interactions.n_users or filtered.n_items < interactions.n_items:
        notes.append(
            f"left: {filtered.n_users:,} of {interactions.n_users:,} users, "
            f"{filtered.n_items:,} of {interactions.n_items:,} items"
        )
    return filtered, notes


def k_core(users: IntArray, items: IntArray, k: int) -> NDArray[np.bool_]:
    """Which events are left when every user and every item has at least k of them."""
    kept = np.ones(len(users), dtype=bool)
    while kept.any():
        enough_of_user = np.bincount(users[kept], minlength=users.max() + 1) >= k
        enough_of_item = np.bincount(items[kept], minlength=items.max() + 1) >= k
        smaller = kept & enough_of_user[users] & enough_of_item[items]
        if smaller.sum() == kept.sum():
            break
        kept = smaller
    return kept


def _note(what: str, before: pl.DataFrame, after: pl.DataFrame) -> list[str]:
    left_out = before.height - after.height
    return [f"{what} left out {left_out:,} of {before.height:,} events"] if left_out else []
