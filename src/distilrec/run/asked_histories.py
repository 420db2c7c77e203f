"""Histories that an exported model is looked at with, and calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distilrec.errors import ArtifactError
from distilrec.recommender import Recommender
from distilrec.run.stages import load_prepared
from distilrec.seeding import generator
from distilrec.types import IntArray


def real_histories(
    prepared: Path, recommender: Recommender, *, certificate: int, calibration: int
) -> tuple[list[IntArray], list[IntArray]]:
    """Histories of validation users for a certificate, and of others, where there are enough, for a calibration.

    Raises:
        ArtifactError: the data are not what the model was made of, or no user has a history.
    """
    loaded = load_prepared(prepared)
    ours, theirs = recommender.items["item_id"], loaded.interactions.items["item_id"]
    if ours.dtype != theirs.dtype or not ours.equals(theirs):
        raise ArtifactError(
            f"{prepared} has a catalogue of {len(theirs)} items that is not the model's, of {len(ours)}; name the data "
            "that the model was made of"
        )
    kept = [history for history in loaded.split.validation.histories if len(history)]
    if not kept:
        raise ArtifactError(f"no validation user of {prepared} has a history; name other data")
    order = generator(0, "histories of an export").permutation(len(kept)).tolist()
    return [kept[row] for row in order[:certificate]], [kept[row] for row in order[::-1][:calibration]]


def made_up_histories(recommender: Recommender, count: int) -> list[IntArray]:
    """Items drawn evenly, in histories of every length."""
    draw, n_items, longest = generator(0, "export histories"), recommender.n_items, recommender.max_length or 1
    return [draw.integers(0, n_items, size=int(draw.integers(1, longest + 1))) for _ in range(count)]


def newest(histories: Sequence[IntArray], recommender: Recommender) -> list[IntArray]:
    """What a model reads of histories.

    Raises:
        ArtifactError: they name an item that the model does not rank.
    """
    n_items, longest = recommender.n_items, recommender.max_length or 1
    largest = max((int(history.max()) for history in histories if len(history)), default=-1)
    if largest >= n_items:
        raise ArtifactError(
            f"the histories name item {largest}, and the model ranks {n_items} items: they are of other data"
        )
    return [history[-longest:] for history in histories]
