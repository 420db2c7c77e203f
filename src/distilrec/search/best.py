"""From products with all items, or with some, to the k best.

Products made by a numerical library differ in their last bits with where a row lies and with what is asked beside it.
So they only choose candidates, a little more than k, whose scores are then worked out in a way that is the same for
every row: equal items score equal, alone or among others, whatever kind of index found them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from distilrec.search.question import Found, Question
from distilrec.search.rows import FloatRows, Rows
from distilrec.types import FloatArray, IntArray

Score = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Vectors [b, D] to scores [b, N], and by how much at most those of each vector may be off, [b]."""

_SCORES_AT_ONCE = 1 << 22  # 16 MiB
_BLOCK = 64  # how many scores, at most, whose largest is looked at first
_FEW = 8  # an allow-list of at most 1 / 8 of the items: the products of those alone are made
_LOWEST = float(np.finfo(np.float32).min)  # below every score, above the -infinity of what is left out


def rounding(width: int, vectors: FloatArray, length: float) -> FloatArray:
    """How far two ways of summing a product in float32 may be apart, [B], for rows of at most this length."""
    lengths: FloatArray = np.sqrt(np.vecdot(vectors, vectors))
    return lengths * np.float32(length * 2 * (width + 1) * 2.0**-24)


def empty_answer(question: Question) -> Found:
    """No items at all: -1 and -infinity, [B, k]."""
    shape = (len(question), question.k)
    return np.full(shape, -1, dtype=np.int64), np.full(shape, -np.inf, dtype=np.float32)


def best_of_all(rows: Rows, score: Score, question: Question) -> Found:
    """Score every item for every vector, and keep the best."""
    allow = question.allow
    if allow is not None and len(allow) * _FEW <= rows.n_items:
        return best_of_allowed(rows, question)
    hidden = None if allow is None else np.ones(rows.n_items, dtype=np.bool_)
    if hidden is not None:
        hidden[allow] = False
    answer = empty_answer(question)
    step = max(1, _SCORES_AT_ONCE // max(rows.n_items, 1))
    for start in range(0, len(question), step):
        scores, slack = score(question.vectors[start : start + step])
        if hidden is not None:
            scores[:, hidden] = -np.inf
        for row, (own, off) in enumerate(zip(scores, slack, strict=True), start):
            own[question.exclude[row]] = -np.inf
            put_best(answer, row, rows, question, candidates(own, question.k, off))
    return answer


def best_of_allowed(rows: Rows, question: Question) -> Found:
    """Score the allowed items alone, whose vectors are collected first."""
    allow = question.allow
    if allow is None or not len(allow):
        return empty_answer(question)
    some = _Some(rows, allow)

    def score(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
        return some.products(vectors), rounding(rows.width, vectors, rows.bound)

    exclude = [np.flatnonzero(np.isin(allow, items, assume_unique=False)) for items in question.exclude]
    items, scores = best_of_all(some, score, Question(question.vectors, question.k, exclude, None))
    return np.where(items >= 0, allow[items], -1), scores


class _Some(FloatRows):
    """Some rows of a table, decoded; their scores are those of the table."""

    def __init__(self, rows: Rows, items: IntArray) -> None:
        super().__init__(rows.take(items))
        self._rows, self._items = rows, items

    def scores(self, items: IntArray, vector: FloatArray) -> FloatArray:
        """Some products, [n], as the table works them out."""
        return self._rows.scores(self._items[items], vector)


def candidates(scores: FloatArray, k: int, slack: float) -> IntArray:
    """Items among which are the k of the highest true scores, rising, when each score here is at most `slack` off."""
    if len(scores) <= k:
        return np.flatnonzero(scores >= _LOWEST)
    return np.flatnonzero(scores >= max(_reached(scores, k) - 2 * float(slack), _LOWEST))


def _reached(scores: FloatArray, k: int) -> float:
    """What at least k scores reach and few others: the k-th highest of the blocks' largest, or of them all."""
    block = min(_BLOCK, len(scores) // (4 * k))
    if block > 1:
        n_blocks = len(scores) // block
        whole, rest = scores[: n_blocks * block], scores[n_blocks * block :]
        largest = whole.reshape(block, n_blocks).max(axis=0)  # block b: items b, b + n_blocks, ...
        scores = np.concatenate([largest, rest])
    return float(np.partition(scores, len(scores) - k)[-k])


def put_best(answer: Found, row: int, rows: Rows, question: Question, items: IntArray) -> None:
    """Write the best of some items into one row of an answer; of equal scores the lower row number first."""
    scores = rows.scores(items, question.vectors[row])
    if len(items) > 4 * question.k:
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - question.k)[-question.k])
        items, scores = items[kept], scores[kept]
    order = np.lexsort((items, -scores))[: question.k]
    answer[0][row, : len(order)] = items[order]
    answer[1][row, : len(order)] = scores[order]
