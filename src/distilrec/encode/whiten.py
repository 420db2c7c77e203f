"""Raw encoder vectors made fit to start from: centred, projected, whitened, of unit length."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import DataError, SettingsError
from distilrec.types import FloatArray

Kind = Literal["whiten", "pca", "none"]
Float64 = NDArray[np.float64]


def project(vectors: NDArray[Any], *, width: int, kind: Kind = "whiten", unit_length: bool = True) -> FloatArray:
    """Project item vectors `[n, F]` to `[n, width]`.

    Encoders leave their vectors in a narrow cone: a few directions carry most of the variance and nearly all
    pairs look alike. `pca` turns to the directions of most variance, `whiten` also gives each of them variance
    one, so that small differences count (BERT-whitening; Su et al. 2021, https://arxiv.org/abs/2103.15316),
    and `none` keeps the vectors as they are. Of the two signs that a direction has, the one is taken whose
    largest component is positive, so the same vectors always give the same projection.

    A row of zeros stands for an item about which nothing is known: it has no part in the mean and the
    directions, and stays zero. So does a row that is equal to the mean.
    """
    known = _check(vectors, width, kind)
    projected = _projected(vectors[known].astype(np.float64), width, kind)
    result = np.zeros((len(vectors), width))  # [n, width]
    result[known] = _unit(projected) if unit_length else projected
    return result.astype(np.float32)


def _check(vectors: NDArray[Any], width: int, kind: Kind) -> NDArray[np.bool_]:
    """Refuse what cannot be projected; otherwise tell the rows that hold something, [n]."""
    if vectors.ndim != 2:
        raise DataError(f"vectors have shape {vectors.shape}; expected (items, width)")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(f"{len(bad):,} of {len(vectors):,} vectors hold NaN or infinity, the first in row {bad[0]}")
    if kind not in ("whiten", "pca", "none"):
        raise SettingsError(f"kind is {kind!r}; expected whiten, pca or none")
    if kind == "none" and width != vectors.shape[1]:
        raise SettingsError(
            f"width is {width}, but the vectors have {vectors.shape[1]} columns and kind is 'none'. "
            "Take kind 'whiten' or 'pca' to change the width"
        )
    return np.asarray(np.linalg.norm(vectors, axis=1) > 0, dtype=np.bool_)


def _projected(rows: Float64, width: int, kind: Kind) -> Float64:
    if kind == "none":
        return rows
    centred = rows - rows.mean(axis=0) if len(rows) else rows  # [n, F]
    values, directions = np.linalg.eigh(centred.T @ centred / max(1, len(rows)))  # [F], [F, F], rising
    values, directions = values[::-1], directions[:, ::-1]
    rank = _rank(values, centred.shape)
    if not 1 <= width <= rank:
        raise SettingsError(
            f"width is {width}, but {len(rows):,} vectors of {rows.shape[1]} columns vary in {rank} independent "
            f"directions; expected a width from 1 to {rank}"
        )
    directions = _with_signs(directions[:, :width])
    return centred @ (directions / np.sqrt(values[:width]) if kind == "whiten" else directions)


def _rank(values: Float64, shape: tuple[int, ...]) -> int:
    """How many directions hold more than the rounding of float32 numbers."""
    if not values.size or values[0] <= 0:
        return 0
    return int((values > values[0] * max(shape) * np.finfo(np.float32).eps ** 2).sum())


def _with_signs(directions: Float64) -> Float64:
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.where(np.take_along_axis(directions, largest[None], axis=0) < 0, -1.0, 1.0)


def _unit(rows: Float64) -> Float64:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    negligible = lengths <= 1e-9 * lengths.max(initial=0.0)  # rows that centring left only rounding of
    return np.where(negligible, 0.0, rows / np.where(negligible, 1.0, lengths))
