"""A small made-up world whose right answer is known."""

from __future__ import annotations

import numpy as np
import polars as pl

from distilrec.data.interactions import Interactions, build_interactions
from distilrec.seeding import generator
from distilrec.types import IntArray

_CLUSTERS = ["amber", "birch", "coral", "delta", "ember", "fjord", "grove", "haven"]


def markov_world(
    *,
    n_users: int = 120,
    n_items: int = 24,
    length: int = 12,
    n_clusters: int = 4,
    noise: float = 0.1,
    seed: int = 0,
) -> Interactions:
    """Users who walk in a circle: after item i comes `successor(i)`, or with probability `noise` any item.

    Item i has id i. Neighbours on the circle are of one cluster, and an item's title begins with its cluster's
    name, so text tells something but not all. User u starts at item u, so that every item is used.
    """
    draw = generator(seed, "markov_world")
    walk = np.empty((n_users, length), dtype=np.int64)
    walk[:, 0] = np.arange(n_users) % n_items
    for step in range(1, length):
        onward = successor(walk[:, step - 1], n_items)
        walk[:, step] = np.where(draw.random(n_users) < noise, draw.integers(n_items, size=n_users), onward)
    log = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(n_users), length).astype(str),
            "item_id": walk.ravel().astype(str),
            "timestamp": np.tile(np.arange(length), n_users) * 86_400 + 1_000_000_000,
        }
    )
    return build_interactions(log, items=_catalogue(n_items, n_clusters), keep_unused_items=True)


def successor(item: IntArray, n_items: int) -> IntArray:
    """What follows each item when there is no noise."""
    return (item + 1) % n_items


def _catalogue(n_items: int, n_clusters: int) -> pl.DataFrame:
    cluster = np.arange(n_items) * n_clusters // n_items
    names = [_CLUSTERS[c % len(_CLUSTERS)] + (str(c // len(_CLUSTERS)) if c >= len(_CLUSTERS) else "") for c in cluster]
    titles = [f"{name} thing {item}" for item, name in enumerate(names)]
    return pl.DataFrame({"item_id": [str(item) for item in range(n_items)], "title": titles, "cluster": names})
