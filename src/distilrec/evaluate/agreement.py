"""How alike two models are, of which one may be the other's teacher; one number for each case.

Lists are row numbers `[C, k]`, best first, as `lists.top_lists` gives them. What is not there (-1) equals nothing, so
two lists that end early are not counted as alike at their ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.accuracy import Values
from distilrec.evaluate.evaluation import Evaluation, check_same_cases
from distilrec.evaluate.ranking import owners_of
from distilrec.evaluate.scoring import scored_batches
from distilrec.types import Cases, FloatArray, IntArray, Scorer

_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Wins:
    """For how many users a is better than b, level with it, and worse."""

    better: int
    level: int
    worse: int


def wins(a: Evaluation, b: Evaluation, *, metric: str = "ndcg@10", names: tuple[str, str] = ("a", "b")) -> Wins:
    """Count the users; for whom in particular is what `verdicts.verdicts` tells by groups."""
    check_same_cases(a, b, names=names)
    ours, theirs = a.values(metric), b.values(metric)
    counts = [np.count_nonzero(found) for found in (ours > theirs, ours == theirs, ours < theirs)]
    return Wins(*map(int, counts))


def agreement(a: IntArray, b: IntArray) -> pl.DataFrame:
    """`overlap@k`, `rbo@k` and `kendall@k` of every case, to be added to an evaluation by `with_columns`."""
    _check_alike(a, b)
    k = a.shape[1]
    columns = {"overlap": overlap(a, b), "rbo": rank_biased_overlap(a, b), "kendall": kendall(a, b)}
    return pl.DataFrame({f"{name}@{k}": values for name, values in columns.items()})


def overlap(a: IntArray, b: IntArray) -> Values:
    """The share of a list that the other has too, [C], in whatever order."""
    shares: Values = (_places(a, b) < a.shape[1]).mean(axis=1)
    return shares


def rank_biased_overlap(a: IntArray, b: IntArray, *, persistence: float = 0.9) -> Values:
    """The overlap at every depth, shallow ones counting more, [C]: 1 is the same list, 0 a disjoint one.

    The reader goes on to the next place with probability `persistence`; what lies beyond the lists is taken to overlap
    as much as they do (the extrapolated form, equation 32 of Webber, Moffat and Zobel, TOIS 2010).
    """
    if not 0 < persistence < 1:
        raise SettingsError(f"persistence is {persistence}; expected a probability between 0 and 1, such as 0.9")
    k = a.shape[1]
    both_by = np.maximum(np.arange(k), _places(a, b))  # the depth from which on both lists have the item
    depths = np.arange(k)
    shared = (both_by[:, :, None] <= depths).sum(axis=1) / (depths + 1)  # [C, k]
    weights = (1 - persistence) * persistence**depths
    found: Values = shared @ weights + shared[:, -1] * persistence**k
    return found


def kendall(a: IntArray, b: IntArray) -> Values:
    """Whether both put items in the same order, [C]: 1 is the same list, -1 a disjoint one.

    Kendall's distance of two top-k lists with the neutral penalty of 1/2 (Fagin, Kumar and Sivakumar, SIAM 2003),
    scaled so that two disjoint lists are -1. An item that a list lacks is taken to stand behind all that it has.
    """
    k = a.shape[1]
    in_b, in_a = _places(a, b), _places(b, a)
    missing = k - (in_b < k).sum(axis=1)  # of a's items in b, and as many of b's in a
    first, second = np.triu_indices(k, 1)
    turned = (in_b[:, first] > in_b[:, second]).sum(axis=1)
    turned += ((in_a[:, first] == k) & (in_a[:, second] < k)).sum(axis=1)  # pairs within b of which a has the second
    distance = turned + missing**2 + missing * (missing - 1) / 2
    found: Values = 1 - 2 * distance / (k**2 + k * (k - 1) / 2)
    return found


def divergence(
    student: Scorer,
    teacher: Scorer,
    cases: Cases,
    *,
    temperature: float = 1.0,
    exclude_history: bool = True,
    quiet: bool = False,
) -> Values:
    """How faithful a student is to its teacher's shares over the whole catalogue, [C]: 0 is the same shares.

    The Kullback-Leibler divergence of the student's softmax from the teacher's, in nats. It depends on the scale of the
    scores, so it compares students of one teacher, and not teachers.
    """
    if not temperature > 0:
        raise SettingsError(f"temperature is {temperature}; expected a number above 0")
    if student.n_items != teacher.n_items:
        raise DataError(f"the student ranks {student.n_items} items and the teacher {teacher.n_items}")
    found = np.empty(len(cases))
    ours = scored_batches(student, cases, quiet=quiet, what="comparing")
    for mine, theirs in zip(ours, scored_batches(teacher, cases, quiet=True), strict=True):
        out = cases.histories.take(mine.rows)
        excluded = (owners_of(out), out.values) if exclude_history else None
        p = _log_shares(theirs.scores / temperature, excluded)
        q = _log_shares(mine.scores / temperature, excluded)
        gaps = np.subtract(p, q, out=np.zeros_like(p), where=p > -np.inf)  # what is excluded has no share
        found[mine.rows] = (np.exp(p) * gaps).sum(axis=1, dtype=np.float64)
    if not np.isfinite(found).all():
        raise DataError("the student rules out (scores -infinity, or NaN) what the teacher does not; no divergence")
    return np.maximum(found, 0.0)  # below 0 by rounding alone


def _log_shares(scores: FloatArray, excluded: tuple[IntArray, IntArray] | None) -> FloatArray:
    """Logarithms of a softmax over what is not excluded, [B, N]."""
    if excluded is not None:
        scores[excluded] = -np.inf
    scores = scores - scores.max(axis=1, keepdims=True)
    sums: FloatArray = np.log(np.exp(scores).sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
    return scores - sums


def _places(a: IntArray, b: IntArray) -> IntArray:
    """Where in b each item of a stands, from 0; k where it is not there. [C, k]"""
    _check_alike(a, b)
    k = a.shape[1]
    places = np.empty(a.shape, dtype=np.int64)
    step = max(1, _AT_ONCE // (k * k))
    for start in range(0, len(a), step):
        part = slice(start, start + step)
        same = (a[part, :, None] == b[part, None, :]) & (a[part, :, None] >= 0)  # [c, k, k]
        places[part] = np.where(same.any(axis=2), same.argmax(axis=2), k)
    return places


def _check_alike(a: IntArray, b: IntArray) -> None:
    if a.ndim != 2 or a.shape != b.shape or not a.shape[1]:
        raise DataError(
            f"lists have shapes {a.shape} and {b.shape}; expected the same cases and the same length in both"
        )
