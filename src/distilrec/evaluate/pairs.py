"""Ratings and clicks: how near predictions for pairs of a user and an item come to what happened.

A ranking is judged by `evaluation.evaluate`; this is for models whose numbers mean something, such as the probability
of a click. All functions take the truth and the prediction of each pair, `[P]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.accuracy import Values
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import sha256_of_arrays
from distilrec.types import IntArray

_LEAST = 1e-7  # predictions of a float32 model that says 0 or 1 are taken to mean nearly so


@dataclass(frozen=True, eq=False)
class PairsFound:
    """What was found of predictions."""

    evaluation: Evaluation
    """A row a user, each the mean over the user's pairs: for intervals, comparisons and slices."""
    pooled: dict[str, float]
    """The same over all pairs alike, and `calibration_error` of clicks, which a user has too few pairs for."""


def evaluate_pairs(
    users: IntArray,
    truths: ArrayLike,
    predictions: ArrayLike,
    *,
    kind: Literal["clicks", "ratings"],
    split: str | None = None,
) -> PairsFound:
    """Judge predictions.

    Args:
        users: whose pair each is, [P].
        kind: of clicks, truths are 0 or 1 and predictions probabilities; of ratings, both are on the same scale.
    """
    if kind not in ("clicks", "ratings"):
        raise SettingsError(f"kind {kind!r} is unknown; choose clicks or ratings")
    truth, predicted = _checked(truths, predictions, clicks=kind == "clicks")
    if np.shape(users) != truth.shape:
        raise DataError(f"users have shape {np.shape(users)} and truths {truth.shape}; expected one each a pair")
    errors = {"rmse": (predicted - truth) ** 2}
    pooled = {"rmse": rmse(truth, predicted)}
    if kind == "clicks":
        errors |= {"accuracy": _right(truth, predicted, 0.5), "log_loss": _surprise(truth, predicted)}
        pooled |= {"accuracy": accuracy(truth, predicted), "log_loss": log_loss(truth, predicted)}
        pooled["calibration_error"] = calibration_error(truth, predicted)
    per_user = pl.DataFrame({"user": users, **errors}).group_by("user").agg(pl.len().alias("n_pairs"), pl.all().mean())
    per_user = per_user.with_columns(pl.col("rmse").sqrt()).sort("user")
    protocol = {"split": split, "kind": kind, "cases": sha256_of_arrays({"users": np.asarray(users), "truths": truth})}
    return PairsFound(Evaluation(per_user, protocol), pooled)


def accuracy(truths: ArrayLike, predictions: ArrayLike, *, threshold: float = 0.5) -> float:
    """The share of clicks and of misses that a probability of at least `threshold` tells right."""
    return float(_right(*_checked(truths, predictions, clicks=True), threshold).mean())


def log_loss(truths: ArrayLike, predictions: ArrayLike) -> float:
    """The mean surprise at what happened, -log(its probability), in nats."""
    return float(_surprise(*_checked(truths, predictions, clicks=True)).mean())


def rmse(truths: ArrayLike, predictions: ArrayLike) -> float:
    """The root of the mean squared error."""
    truth, predicted = _checked(truths, predictions, clicks=False)
    return float(np.sqrt(((predicted - truth) ** 2).mean()))


def calibration_error(truths: ArrayLike, predictions: ArrayLike, *, bins: int = 15) -> float:
    """How far the share of clicks is from what was said, over bins of equal width, weighted by their pairs.

    The expected calibration error of Guo et al., ICML 2017, said of the probability of a click.
    """
    truth, predicted = _checked(truths, predictions, clicks=True)
    if bins < 1:
        raise SettingsError(f"bins is {bins}; expected at least 1")
    which = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(which, weights=predicted - truth, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def _right(truth: Values, predicted: Values, threshold: float) -> Values:
    right: Values = ((predicted >= threshold) == (truth > 0)).astype(np.float64)
    return right


def _surprise(truth: Values, predicted: Values) -> Values:
    kept = np.clip(predicted, _LEAST, 1 - _LEAST)
    surprise: Values = -np.log(np.where(truth > 0, kept, 1 - kept))
    return surprise


def _checked(truths: ArrayLike, predictions: ArrayLike, *, clicks: bool) -> tuple[Values, Values]:
    truth, predicted = np.asarray(truths, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
        raise DataError(
            f"truths have shape {truth.shape} and predictions {predicted.shape}; expected one number each a pair"
        )
    if not (np.isfinite(truth).all() and np.isfinite(predicted).all()):
        raise DataError("truths or predictions contain NaN or infinity; expected finite numbers")
    if clicks and not np.isin(truth, (0, 1)).all():
        raise DataError("truths of clicks are 0 or 1, and others came; judge ratings with kind='ratings'")
    if clicks and not ((predicted >= 0) & (predicted <= 1)).all():
        raise DataError(
            "predictions of clicks are probabilities from 0 to 1, and others came; put them through a sigmoid"
        )
    return truth, predicted
