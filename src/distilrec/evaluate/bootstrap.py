"""How far a mean over users would move with other users of the same kind: intervals and paired comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import DataError, SettingsError
from distilrec.seeding import generator

Values = NDArray[np.float64]
RESAMPLES = 2000
_BLOCK_NUMBERS = 1 << 21  # 16 MiB of float64


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds that hold the chosen share of the resampled means."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ({self.low:.4f} to {self.high:.4f})"

    def cell(self) -> str:
        """As it stands in a table."""
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class PairedResult:
    """The mean of a - b over users that both were measured on."""

    difference: float
    low: float
    high: float
    p_value: float
    n: int
    n_different: int  # users whose values differ at all

    @property
    def identical(self) -> bool:
        """Whether a and b are the same for every user."""
        return self.n_different == 0


def bootstrap_interval(values: Values, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of one value per user, with its percentile bootstrap interval (Efron and Tibshirani, 1993, ch. 13)."""
    return bootstrap_intervals(_one_column(values), level=level, resamples=resamples, seed=seed)[0]


def bootstrap_intervals(
    table: Values, *, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """An interval for each column of `table` [users, columns]; all columns share the same draws of users."""
    return intervals_of(table, resampled_means(table, resamples=resamples, seed=seed), level=level)


def intervals_of(table: Values, means: Values, *, level: float = 0.95) -> list[Interval]:
    """An interval for each column of `table`, from its `resampled_means`."""
    lows, highs = _bounds(means, level)
    return [Interval(*map(float, row)) for row in zip(table.mean(axis=0), lows, highs, strict=True)]


def paired_bootstrap(
    a: Values,
    b: Values,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    means: Values | None = None,
) -> PairedResult:
    """Whether a and b differ, from their values for the same users in the same order.

    The p-value is two-sided: how often the resampled difference strays from the observed one by at least as much as
    the observed one strays from nothing (Efron and Tibshirani, 1993, ch. 16; Smucker et al., CIKM 2007). One is
    added to both counts, so it is never 0. `means` [resamples, 2] are the resampled means of both, where they are known
    already: several comparisons of the same users then share their draws.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise DataError(f"a has shape {a.shape} and b {b.shape}; a paired comparison needs the same users in both")
    differences = _one_column(a - b)
    observed = float(differences.mean())
    if means is None:
        found = resampled_means(differences, resamples=resamples, seed=seed)  # [resamples, 1]
    else:
        found = means[:, :1] - means[:, 1:]
    (low,), (high,) = _bounds(found, level)
    as_far = np.count_nonzero(np.abs(found - observed) >= abs(observed))
    p_value = (1 + int(as_far)) / (1 + len(found))
    return PairedResult(observed, float(low), float(high), p_value, len(a), int(np.count_nonzero(differences)))


def resampled_means(table: Values, *, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """Means over users drawn with replacement, [resamples, columns], from `table` [users, columns].

    Each draw is turned into how often every user was drawn, so that one draw serves all columns. Some draws are
    multiplied at once: thousands of tiny products would wait for the threads of BLAS on a busy machine.
    """
    _check(table, resamples)
    draw = generator(seed, "bootstrap")
    n_users = len(table)
    at_once = max(1, _BLOCK_NUMBERS // n_users)
    means = []
    for start in range(0, resamples, at_once):
        times_drawn = np.empty((min(at_once, resamples - start), n_users))  # [draws, users]
        for row in times_drawn:
            row[:] = np.bincount(draw.integers(0, n_users, n_users, dtype=np.int32), minlength=n_users)
        means.append(times_drawn @ table)
    return np.concatenate(means) / n_users


def _bounds(means: Values, level: float) -> tuple[Values, Values]:
    if not 0 < level < 1:
        raise SettingsError(f"level is {level}; expected a share between 0 and 1, such as 0.95")
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def _one_column(values: Values) -> Values:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise DataError(f"values have shape {column.shape}; expected one number per user")
    return column[:, None]


def _check(table: Values, resamples: int) -> None:
    if not len(table):
        raise DataError("there are no users to resample; expected at least one")
    if not np.isfinite(table).all():
        raise DataError("the values to resample contain NaN or infinity; expected one finite number per user")
    if resamples < 1:
        raise SettingsError(f"resamples is {resamples}; expected at least 1, usually {RESAMPLES}")
