"""Histories changed at random, so that a student meets more of them than there are.

Sources: crop, mask and reorder are of CL4SRec (Xie et al., ICDE 2022), substitute and insert of CoSeRec (Liu et al.
2021). There they make two views of a history that are compared; here every position of a history also predicts the item
that came next, so it is noted which position of the changed history still stands for which position of the original.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from distilrec.config import Settings
from distilrec.errors import DataError, SettingsError
from distilrec.types import Batch, FloatArray, IntArray

BoolArray = NDArray[np.bool_]


class AugmentSettings(Settings):
    """How often each operation changes a history, and how much of it.

    Each is drawn for itself, and they are done in this order. A share that is no whole number of items is rounded up or
    down at random, so that it is right on average for short histories too.
    """

    crop: float = Field(0.0, ge=0, le=1)
    """Probability that only a contiguous part of a history is kept."""
    crop_share: float = Field(0.6, gt=0, le=1)
    """How large a part is kept; at least one item."""
    mask: float = Field(0.0, ge=0, le=1)
    """Probability that single items are left out. Models have no sign for "something was here": an item left out is
    gone from the input, and what was to be predicted right after it goes with it. It stays the target of the item
    before it."""
    mask_share: float = Field(0.3, gt=0, lt=1)
    """How many of the items are left out; never all."""
    reorder: float = Field(0.0, ge=0, le=1)
    """Probability that a stretch of a history is shuffled. A position predicts on where the same items were read up to
    it, in whichever order; others have read ahead, perhaps the very item that they would predict."""
    reorder_share: float = Field(0.3, gt=0, le=1)
    """How long the stretch is; of one item, nothing happens."""
    substitute: float = Field(0.0, ge=0, le=1)
    """Probability that single items are replaced by similar ones."""
    substitute_share: float = Field(0.2, gt=0, le=1)
    """How many of the items are replaced."""
    insert: float = Field(0.0, ge=0, le=1)
    """Probability that similar items are inserted, each before the item that it is like."""
    insert_share: float = Field(0.2, gt=0, le=1)
    """How many of the items get one before them; a history that becomes too long loses its oldest items."""

    @property
    def needs_neighbours(self) -> bool:
        """Whether it wants to know which items are similar."""
        return self.substitute > 0 or self.insert > 0

    def without_neighbours(self) -> AugmentSettings:
        """What is left of it for somebody who has no teacher to say which items are similar."""
        return self.with_changes(substitute=0.0, insert=0.0)


@dataclass(frozen=True)
class Augmented:
    """A changed batch, and what its positions stand for."""

    batch: Batch
    """Its targets are -1 where nothing is predicted, at real positions too. It has no `rows`, because knowledge has
    other positions: that is asked for the original batch."""
    positions: IntArray
    """For each real position of the batch, [P'], which real position of the original it stands for, 0 to P - 1, or -1.
    A position stands for another when it predicts the same target. The newest of a history always stands for one."""


@dataclass(frozen=True)
class _Histories:
    """Histories while they are changed."""

    items: IntArray  # [B, L], anything where padded
    columns: IntArray  # [B, L], which column of the original batch each predicts from, or -1
    lengths: IntArray  # [B]

    @property
    def at(self) -> IntArray:
        """Each cell's own column, [1, L]."""
        return np.arange(self.items.shape[1])[None, :]

    @property
    def real(self) -> BoolArray:
        """[B, L]"""
        mask: BoolArray = self.at < self.lengths[:, None]
        return mask


def augment(
    batch: Batch,
    settings: AugmentSettings,
    generator: np.random.Generator,
    neighbours: IntArray | None = None,
    *,
    max_length: int,
) -> Augmented:
    """Change each history of a batch at random.

    Args:
        neighbours: `[N, k]`, for each item the ones that it may be replaced by, all equally likely. An item of the same
            window is never taken: it may be what is to be predicted.
        max_length: how many items the model reads; the newest are kept.

    Raises:
        SettingsError: items are to be substituted or inserted, but there are no neighbours.
    """
    if max_length < 1:
        raise SettingsError(f"max_length is {max_length}; expected at least 1")
    neighbours = _check_neighbours(batch, settings, neighbours)
    columns = np.broadcast_to(np.arange(batch.items.shape[1]), batch.items.shape)
    histories = _Histories(batch.items, columns, batch.lengths)

    counts = _draw_counts(histories.lengths, settings.crop, settings.crop_share, generator, otherwise=1.0)
    histories = _crop(histories, np.maximum(counts, np.minimum(histories.lengths, 1)), generator)
    counts = _draw_counts(histories.lengths, settings.mask, settings.mask_share, generator)
    histories = _mask(histories, np.minimum(counts, np.maximum(histories.lengths - 1, 0)), generator)
    counts = _draw_counts(histories.lengths, settings.reorder, settings.reorder_share, generator)
    histories = _reorder(histories, counts, generator)
    counts = _draw_counts(histories.lengths, settings.substitute, settings.substitute_share, generator)
    histories = _substitute(histories, counts, neighbours, _window_items(batch), generator)
    counts = _draw_counts(histories.lengths, settings.insert, settings.insert_share, generator)
    histories = _insert(histories, counts, neighbours, _window_items(batch), generator)
    return _finish(_newest(histories, max_length), batch)


def neighbours_by_similarity(item_vectors: FloatArray, k: int, *, chunk_items: int = 1024) -> IntArray:
    """For each item the `k` others whose vectors point most in its direction, nearest first, `[N, D]` -> `[N, k]`.

    With a teacher's item vectors, these are the items that the teacher takes for alike. It compares all pairs: slow
    above some hundred thousand items.
    """
    n_items = len(item_vectors)
    if not 1 <= k < n_items:
        raise SettingsError(f"{k} neighbours were asked for; expected 1 to {n_items - 1} in a catalogue of {n_items}")
    if not np.isfinite(item_vectors).all():
        raise DataError("item vectors hold NaN or infinity; no item is similar to another")
    lengths = np.linalg.norm(item_vectors, axis=1, keepdims=True)
    unit = item_vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    found = np.empty((n_items, k), dtype=np.int64)
    for begin in range(0, n_items, chunk_items):
        distant = -(unit[begin : begin + chunk_items] @ unit.T)  # [chunk, N]
        rows = np.arange(len(distant))
        distant[rows, begin + rows] = np.inf
        near = np.argpartition(distant, k - 1, axis=1)[:, :k]  # [chunk, k]
        order = np.argsort(np.take_along_axis(distant, near, axis=1), axis=1, kind="stable")
        found[begin : begin + chunk_items] = np.take_along_axis(near, order, axis=1)
    return found


def _check_neighbours(batch: Batch, settings: AugmentSettings, neighbours: IntArray | None) -> IntArray:
    """The neighbours; none are needed where nothing is substituted or inserted."""
    wanted = [name for name in ("substitute", "insert") if getattr(settings, name) > 0]
    if not wanted:
        return np.zeros((0, 1), dtype=np.int64)
    if neighbours is None:
        raise SettingsError(
            f"to {' and '.join(wanted)}, similar items are needed, but none were given; make them from the item "
            f"vectors of a teacher with data.augment.neighbours_by_similarity, or set {' and '.join(wanted)} to 0"
        )
    if neighbours.ndim != 2 or not neighbours.shape[1] or len(neighbours) <= batch.items.max(initial=-1):
        raise SettingsError(
            f"neighbours have shape {neighbours.shape}; expected [N, k] with a row for each item of the catalogue, "
            f"which has at least {batch.items.max(initial=-1) + 1} items"
        )
    return neighbours


def _draw_counts(
    lengths: IntArray, probability: float, share: float, generator: np.random.Generator, *, otherwise: float = 0.0
) -> IntArray:
    """How many items of each history an operation takes, [B]; `otherwise` is the share where it is not done."""
    if probability == 0:
        return (lengths * otherwise).astype(np.int64)
    shares = np.where(generator.random(len(lengths)) < probability, share, otherwise)
    counts: IntArray = np.floor(lengths * shares + generator.random(len(lengths))).astype(np.int64)
    return np.minimum(counts, lengths)


def _crop(histories: _Histories, counts: IntArray, generator: np.random.Generator) -> _Histories:
    """Keep `counts` items in a row, from anywhere."""
    if np.array_equal(counts, histories.lengths):
        return histories
    begins = generator.integers(0, histories.lengths - counts + 1)[:, None]  # [B, 1]
    return _keep(histories, (histories.at >= begins) & (histories.at < begins + counts[:, None]))


def _mask(histories: _Histories, counts: IntArray, generator: np.random.Generator) -> _Histories:
    """Leave out `counts` items."""
    return _keep(histories, histories.real & ~_choose(histories, counts, generator)) if counts.any() else histories


def _reorder(histories: _Histories, counts: IntArray, generator: np.random.Generator) -> _Histories:
    """Shuffle `counts` items in a row, from anywhere."""
    if counts.max(initial=0) < 2:
        return histories
    begins = generator.integers(0, histories.lengths - counts + 1)[:, None]  # [B, 1]
    inside = (histories.at >= begins) & (histories.at < begins + counts[:, None])
    places = np.where(inside, begins + counts[:, None] * generator.random(histories.items.shape), histories.at)
    order = np.argsort(places, axis=1, kind="stable")  # [B, L], which column each item comes from
    same_read = np.maximum.accumulate(order, axis=1) <= histories.at
    items = np.take_along_axis(histories.items, order, axis=1)
    return _Histories(items, np.where(same_read, histories.columns, -1), histories.lengths)


def _substitute(
    histories: _Histories, counts: IntArray, neighbours: IntArray, window: IntArray, generator: np.random.Generator
) -> _Histories:
    """Replace `counts` items by similar ones."""
    if not counts.any():
        return histories
    rows, columns = np.nonzero(_choose(histories, counts, generator))
    similar, fresh = _similar(histories.items[rows, columns], window[rows], neighbours, generator)
    items = histories.items.copy()
    items[rows[fresh], columns[fresh]] = similar[fresh]
    return replace(histories, items=items)


def _insert(
    histories: _Histories, counts: IntArray, neighbours: IntArray, window: IntArray, generator: np.random.Generator
) -> _Histories:
    """Put a similar item before each of `counts` items."""
    if not counts.any():
        return histories
    chosen = _choose(histories, counts, generator)
    rows, columns = np.nonzero(chosen)
    similar, fresh = _similar(histories.items[rows, columns], window[rows], neighbours, generator)
    chosen[rows[~fresh], columns[~fresh]] = False
    places = histories.at + np.cumsum(chosen, axis=1)  # [B, L], where each item goes
    shape = len(counts), int(places.max()) + 1
    items, sources = np.zeros(shape, dtype=np.int64), np.full(shape, -1)
    np.put_along_axis(items, places, histories.items, axis=1)
    np.put_along_axis(sources, places, histories.columns, axis=1)
    items[rows[fresh], places[rows[fresh], columns[fresh]] - 1] = similar[fresh]
    return _Histories(items, sources, histories.lengths + chosen.sum(axis=1))


def _similar(
    items: IntArray, windows: IntArray, neighbours: IntArray, generator: np.random.Generator
) -> tuple[IntArray, BoolArray]:
    """For each item [n] one that is like it, and whether it is none of its window's [n, L + 1]."""
    drawn = generator.integers(0, neighbours.shape[1], size=len(items))
    similar: IntArray = neighbours[items, drawn]
    return similar, (windows != similar[:, None]).all(axis=1)


def _window_items(batch: Batch) -> IntArray:
    """What a window holds, inputs and targets, and -1 where padded, [B, L + 1] or more."""
    items = np.where(batch.mask, batch.items, -1)
    return items if batch.targets is None else np.concatenate([items, batch.targets], axis=1)


def _choose(histories: _Histories, counts: IntArray, generator: np.random.Generator) -> BoolArray:
    """`counts` real positions of each history at random, [B, L]."""
    keys = np.where(histories.real, generator.random(histories.items.shape), np.inf)
    chosen = np.zeros(keys.shape, dtype=np.bool_)
    np.put_along_axis(chosen, np.argsort(keys, axis=1), histories.at < counts[:, None], axis=1)
    return chosen


def _keep(histories: _Histories, kept: BoolArray) -> _Histories:
    """The chosen cells, moved to the left."""
    lengths = kept.sum(axis=1)
    order = np.argsort(~kept, axis=1, kind="stable")[:, : max(1, int(lengths.max(initial=0)))]
    items, columns = (np.take_along_axis(cells, order, axis=1) for cells in (histories.items, histories.columns))
    return _Histories(items, columns, lengths)


def _newest(histories: _Histories, max_length: int) -> _Histories:
    if histories.lengths.max(initial=0) <= max_length:
        return histories
    return _keep(histories, histories.real & (histories.at >= histories.lengths[:, None] - max_length))


def _finish(histories: _Histories, original: Batch) -> Augmented:
    """As a batch again, whose positions are told by the original's flattened ones."""
    width = max(1, int(histories.lengths.max(initial=0)))
    real = histories.real[:, :width]
    items = np.where(real, histories.items[:, :width], 0)
    columns = np.where(real, histories.columns[:, :width], -1)
    before = np.cumsum(original.lengths) - original.lengths
    positions = np.where(columns >= 0, before[:, None] + columns, -1)[real]
    targets = None
    if original.targets is not None:
        targets = np.where(columns >= 0, np.take_along_axis(original.targets, np.maximum(columns, 0), axis=1), -1)
    return Augmented(Batch(items, histories.lengths, targets), positions)
