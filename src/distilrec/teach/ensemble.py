"""Fitting an ensemble on validation, and the folds for cross-fitting.

Each member first gets the temperature that makes its probabilities honest (Guo et al., ICML 2017), then all get the
weights under which their mixture finds the validation items most likely (Smyth and Wolpert, Machine Learning 1999).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import DataError, MissingExtraError, SettingsError
from distilrec.models.ensemble import Ensemble, member_scores
from distilrec.models.kinds import Model
from distilrec.seeding import generator
from distilrec.types import Batch, Cases, FloatArray, IntArray, Ragged

Doubles = NDArray[np.float64]

_HELD_NUMBERS = 1 << 25  # of one member's scores while its temperature is sought: 128 MiB
_CHUNK_NUMBERS = 1 << 20  # of scores that are worked on at once
_WIDEST = 1e3  # temperatures are sought from this part of the spread of the scores up to this many times it
_EM_STEPS, _EM_GAIN = 2_000, 1e-10


def fit_ensemble(
    members: Sequence[Model],
    cases: Cases,
    *,
    weights: Sequence[float] | None = None,
    exclude_history: bool = True,
    max_cases: int = 5_000,
    seed: int = 0,
) -> Ensemble:
    """Fitted models as one, with the temperatures and weights that suit the validation cases best.

    Args:
        cases: of the validation split, which no member was trained on.
        weights: fixed shares instead; temperatures are fitted all the same.
        exclude_history: whether items of the history are out of the question, as in the evaluation.
        max_cases: at most so many cases, drawn at random, are looked at.

    Raises:
        SettingsError: fewer than two members, members of different catalogues, or weights that are no shares.
        DataError: no cases, or one asks for an item that is excluded.
    """
    even = [1 / max(1, len(members))] * len(members)
    Ensemble.of(members, weights=weights or even, temperatures=[1.0] * len(members))  # refuses before any work
    cases = _draw(cases, max_cases, seed)
    if exclude_history:
        _check_disjoint(cases)
    temperatures = [fit_temperature(member, cases, exclude_history=exclude_history) for member in members]
    if weights is None:
        logs = [
            log_probabilities(member, cases, temperature, exclude_history=exclude_history)
            for member, temperature in zip(members, temperatures, strict=True)
        ]
        weights = fit_weights(np.stack(logs, axis=1), _shares(cases)).tolist()
    return Ensemble.of(members, weights=weights, temperatures=temperatures, exclude_history=exclude_history)


def fit_temperature(member: Model, cases: Cases, *, exclude_history: bool = True) -> float:
    """The temperature at which a member finds the relevant items of the cases most likely.

    Above 1 for one that is over-confident. A member whose scores are all the same keeps 1. Looks at as many of the
    first cases as fit a bounded memory.
    """
    try:
        from scipy.optimize import minimize_scalar
    except ImportError:
        raise MissingExtraError("scipy", "train") from None
    seen = _first(cases, max(1, _HELD_NUMBERS // member.n_items))
    held = list(_scored(member, seen, exclude_history))  # [chunk, N] each
    spread = np.mean([_spread(scores) for _, scores in held])
    if spread == 0:
        return 1.0
    shares, middle = _shares(seen), float(np.log(spread))

    def loss(log_temperature: float) -> float:
        logs = np.concatenate([_of_relevant(s, part.relevant, np.exp(log_temperature)) for part, s in held])
        return -float(shares @ logs)

    width = float(np.log(_WIDEST))
    found = minimize_scalar(loss, bounds=(middle - width, middle + width), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def log_probabilities(member: Model, cases: Cases, temperature: float, *, exclude_history: bool = True) -> Doubles:
    """The log-probability that a member gives each relevant item, [R], case after case."""
    parts = _scored(member, cases, exclude_history)
    return np.concatenate([_of_relevant(scores, part.relevant, temperature) for part, scores in parts])


def fit_weights(logs: Doubles, shares: Doubles | None = None) -> Doubles:
    """The weights of the mixture under which the observations are most likely, [M].

    Expectation maximisation (Dempster, Laird and Rubin 1977). The likelihood is concave in the weights of given
    members, so what it climbs to is the best there is.

    Args:
        logs: log-probability of each observation by each member, [R, M].
        shares: how much each observation counts, [R]; they sum to 1.
    """
    n_observations, n_members = logs.shape
    shares = np.full(n_observations, 1 / n_observations) if shares is None else shares
    weights, before = np.full(n_members, 1 / n_members), -np.inf
    for _ in range(_EM_STEPS):
        weights, likelihood = em_step(weights, logs, shares)
        if likelihood - before < _EM_GAIN:
            break
        before = likelihood
    fitted: Doubles = weights / weights.sum()
    return fitted


def em_step(weights: Doubles, logs: Doubles, shares: Doubles) -> tuple[Doubles, float]:
    """Better weights, and the mean log-likelihood of the ones that were given."""
    with np.errstate(divide="ignore"):
        joint = logs + np.log(weights)  # [R, M]
    top = joint.max(axis=1, keepdims=True)
    parts = np.exp(joint - top)
    total = parts.sum(axis=1, keepdims=True)
    likelihood = float(shares @ (np.log(total) + top)[:, 0])
    better: Doubles = shares @ (parts / total)
    return better, likelihood


def folds_of_users(n_users: int, folds: int, *, seed: int) -> IntArray:
    """A fold for each user, drawn at random, all of the same size or one apart, [users]."""
    if not 2 <= folds <= n_users:
        raise SettingsError(f"there are {folds} folds for {n_users:,} users; expected from 2 to one for each user")
    return generator(seed, "folds").permutation(n_users) % folds


def without_fold(sequences: Ragged, folds: IntArray, fold: int) -> Ragged:
    """The sequences with those of one fold emptied, so that all others keep their row numbers."""
    if len(folds) != len(sequences):
        raise DataError(f"there are folds for {len(folds):,} users and {len(sequences):,} sequences; expected as many")
    kept = folds != fold
    lengths = np.where(kept, sequences.lengths, 0)
    values = sequences.values[np.repeat(kept, sequences.lengths)]
    return Ragged(values, np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]))


def _draw(cases: Cases, max_cases: int, seed: int) -> Cases:
    """All cases, or so many of them, in random order."""
    if max_cases < 1:
        raise SettingsError(f"max_cases is {max_cases}; expected at least 1")
    if not len(cases):
        raise DataError("there are no validation cases to fit the ensemble on")
    return _take(cases, generator(seed, "ensemble cases").permutation(len(cases))[:max_cases])


def _first(cases: Cases, count: int) -> Cases:
    return _take(cases, np.arange(min(count, len(cases))))


def _take(cases: Cases, rows: IntArray) -> Cases:
    return replace(
        cases, users=cases.users[rows], histories=cases.histories.take(rows), relevant=cases.relevant.take(rows)
    )


def _check_disjoint(cases: Cases) -> None:
    for user, history, relevant in zip(cases.users, cases.histories, cases.relevant, strict=True):
        both = np.intersect1d(history, relevant)
        if len(both):
            raise DataError(
                f"relevant item {both[0]} of user {user} is in the history, which is excluded, so no weights could "
                "suit it. Fit with exclude_history=False, or drop repeated items from the split"
            )


def _shares(cases: Cases) -> Doubles:
    """How much each relevant item counts, [R]: all cases the same, whatever the number of their items."""
    lengths = cases.relevant.lengths
    return np.repeat(1 / (len(cases) * np.maximum(lengths, 1)), lengths)


def _scored(member: Model, cases: Cases, exclude_history: bool) -> Iterator[tuple[Cases, FloatArray]]:
    """The cases some at a time, each with the member's scores, [chunk, N]; minus infinity for excluded items."""
    step = max(1, _CHUNK_NUMBERS // member.n_items)
    for start in range(0, len(cases), step):
        part = _take(cases, np.arange(start, min(start + step, len(cases))))
        scores = member_scores(member, Batch.of(list(part.histories)))
        if not np.isfinite(scores).all():
            raise DataError(f"the {member.kind} scores items with NaN or infinity; an ensemble cannot use it")
        if exclude_history:
            scores[np.repeat(np.arange(len(part)), part.histories.lengths), part.histories.values] = -np.inf
        yield part, scores


def _of_relevant(scores: FloatArray, relevant: Ragged, temperature: float) -> Doubles:
    """Log-probabilities of the relevant items of each row, [R]."""
    scaled = scores / np.float32(temperature)  # [chunk, N]
    scaled -= scaled.max(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(scores)), relevant.lengths)
    wanted = scaled[rows, relevant.values].astype(np.float64)
    sums = np.exp(scaled, out=scaled).sum(axis=1)
    logs: Doubles = wanted - np.log(sums)[rows]
    return logs


def _spread(scores: FloatArray) -> float:
    """How far the scores of a row lie apart, typically."""
    finite = np.isfinite(scores)
    means = np.where(finite, scores, 0).sum(axis=1, keepdims=True) / finite.sum(axis=1, keepdims=True)
    return float(np.sqrt(np.square(np.where(finite, scores - means, 0)).sum() / finite.sum()))
