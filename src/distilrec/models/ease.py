"""EASE: a linear model of each item from all others, solved exactly. Steck, WWW 2019."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from distilrec.config import Settings
from distilrec.errors import ArtifactError, MissingExtraError, SettingsError
from distilrec.models.checks import State, check_sequences, check_state
from distilrec.models.cooccurrence import cooccurrence_blocks
from distilrec.types import Batch, FloatArray, IntArray, Ragged

Matrix = NDArray[np.floating]
_DOUBLE_BELOW = 5_000  # items up to which float64 costs little; above, float32 halves the time and the memory


class EASESettings(Settings):
    """How strongly EASE is held back, and how large a matrix it may invert."""

    l2: float = Field(default=100.0, gt=0)
    """Added to the diagonal. Higher leans on fewer, surer pairs; tens to hundreds are usual."""
    max_items: int = Field(default=30_000, ge=1)
    """Largest catalogue accepted: memory grows with its square, time with its cube."""


@dataclass(frozen=True, eq=False)
class EASE:
    """Scores an item by the sum of its weights from the history's items."""

    kind: ClassVar[str] = "ease"
    settings: EASESettings
    weights: FloatArray  # [N, N], from item (row) to item (column), 0 on the diagonal

    @classmethod
    def fit(cls, sequences: Ragged, *, n_items: int, settings: EASESettings | None = None) -> Self:
        """Solve for the weights; an item used twice by a user counts once."""
        settings = settings or EASESettings()
        check_sequences(sequences, n_items)
        _check_size(n_items, settings)
        gram = np.empty((n_items, n_items), dtype=np.float64 if n_items <= _DOUBLE_BELOW else np.float32)
        for rows, common in cooccurrence_blocks(sequences, n_items):
            gram[rows] = common.toarray()
        gram[np.diag_indices(n_items)] += settings.l2
        inverse = _invert(gram)
        inverse /= -np.diag(inverse).copy()  # [N, N]; column j by its own diagonal, equation 8
        np.fill_diagonal(inverse, 0)
        return cls(settings, inverse.astype(np.float32, copy=False))

    @property
    def n_items(self) -> int:
        """How many items the catalogue has."""
        return len(self.weights)

    @property
    def n_parameters(self) -> int:
        """Every weight off the diagonal."""
        return self.n_items * (self.n_items - 1)

    def scores(self, batch: Batch) -> FloatArray:
        """The sum of the history's rows of weights, each item counted once, [B, N]; zeros without history."""
        scores = np.empty((len(batch), self.n_items), dtype=np.float32)
        for case, length in enumerate(batch.lengths):
            scores[case] = self.weights[np.unique(batch.items[case, :length])].sum(axis=0)  # histories are short
        return scores

    def position_scores(self, batch: Batch) -> FloatArray:
        """The scores after each real position of each history, [P, N]: what `scores` gives its beginnings.

        Each position adds its item's row to the scores of the one before, unless the item was there already.
        """
        scores = np.empty((int(batch.lengths.sum()), self.n_items), dtype=np.float32)
        end = 0
        for case, length in enumerate(batch.lengths):
            history = batch.items[case, :length]
            own = scores[end : end + length]
            own[:] = self.weights[history]
            own[~_first_uses(history)] = 0
            np.cumsum(own, axis=0, out=own)
            end += length
        return scores

    def state(self) -> dict[str, FloatArray]:
        """The weights."""
        return {"weights": self.weights}

    @classmethod
    def from_state(cls, settings: EASESettings, state: State) -> Self:
        """The model whose `state` this was."""
        check_state(cls.kind, state, {"weights": 2})
        weights = state["weights"].astype(np.float32, copy=False)
        if weights.shape[0] != weights.shape[1]:
            raise ArtifactError(f"ease: weights has shape {weights.shape}; expected as many rows as columns")
        return cls(settings, weights)


def _first_uses(history: IntArray) -> NDArray[np.bool_]:
    """Which positions of a history have an item for the first time."""
    first = np.zeros(len(history), dtype=np.bool_)
    first[np.unique(history, return_index=True)[1]] = True
    return first


def _invert(matrix: Matrix) -> Matrix:
    """The inverse of a symmetric positive definite matrix, in its own memory."""
    try:
        from scipy.linalg import get_lapack_funcs
    except ImportError:
        raise MissingExtraError("scipy", "train") from None
    factorise, invert = get_lapack_funcs(("potrf", "potri"), (matrix,))
    # LAPACK counts columns first: the transpose is the same memory seen its way, and its lower half our upper one.
    half, failed = factorise(matrix.T, lower=True, overwrite_a=True, clean=False)
    if not failed:
        half, failed = invert(half, lower=True, overwrite_c=True)
    if failed:
        raise SettingsError("ease: the matrix cannot be inverted with this l2; choose a larger one")
    return _mirrored(half.T)


def _mirrored(upper: Matrix, step: int = 1024) -> Matrix:
    """Copy the upper half into the lower one, in blocks, so that no second matrix is made."""
    n = len(upper)
    for start in range(0, n, step):
        stop = min(start + step, n)
        upper[stop:, start:stop] = upper[start:stop, stop:].T
        block = upper[start:stop, start:stop]
        block[:] = np.triu(block) + np.triu(block, 1).T
    return upper


def _check_size(n_items: int, settings: EASESettings) -> None:
    if n_items > settings.max_items:
        gigabytes = 4 * n_items**2 / 1e9
        raise SettingsError(
            f"EASE would invert a matrix of {n_items:,} x {n_items:,} items ({gigabytes:.1f} GB, and as much again to "
            f"use it); max_items is {settings.max_items:,}. Use item_knn instead, which grows with the items, "
            "or raise max_items"
        )
