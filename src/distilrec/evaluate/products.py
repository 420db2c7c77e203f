"""Ranking where scores are products of vectors: in chunks of the catalogue, so that no row of scores is ever held.

How many items are better than the relevant one is a count, and counts of chunks add up. A hundred thousand users and a
million items need no more memory than a few chunks.

Two products of the same vectors may differ in their last bits, by where in a chunk they stand. What rounding could have
made is a tie, and ties count against the model: items with one vector must not pass for a ranking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distilrec.errors import DataError
from distilrec.evaluate.lists import TopLists
from distilrec.evaluate.ranking import (
    check_disjoint,
    check_no_repeats,
    count_not_worse,
    item_keys,
    owners_of,
    ranks_behind,
)
from distilrec.progress import progress
from distilrec.types import Batch, Cases, FloatArray, IntArray, Ragged, Scorer, ranges

_SCORES_AT_ONCE = 1 << 21  # 8 MiB
_CASES_AT_ONCE = 256
_ROUNDINGS = 8  # of a product's largest possible sum; 2.7 were the most that was seen, at widths of 16 to 1,024


@dataclass(frozen=True, eq=False)
class Products:
    """A scorer that `evaluate` ranks in chunks: a history's score of an item is the product of their vectors."""

    item_vectors: FloatArray  # [N, D]
    read: Callable[[Batch], FloatArray]
    """What a history's user wants next, [B, D]."""
    max_length: int | None = None

    @property
    def n_items(self) -> int:
        """How many items are ranked, N."""
        return len(self.item_vectors)

    def scores(self, batch: Batch) -> FloatArray:
        """All scores at once, [B, N], for whoever wants them."""
        return self.read(batch) @ self.item_vectors.T


def as_products(scorer: Scorer) -> Products | None:
    """The scorer in this form, if it is or says that it has it by a method `products`."""
    if isinstance(scorer, Products):
        return scorer
    made = getattr(scorer, "products", None)
    found: Products | None = made() if callable(made) else None
    return found


def rank_products(
    scorer: Products,
    cases: Cases,
    *,
    exclude_history: bool = True,
    lists: TopLists | None = None,
    quiet: bool = False,
) -> tuple[Ragged, IntArray]:
    """The rank of every relevant item, and how many items each case ranks, [C]; ties count against the model.

    What would be shown is noted in `lists`.

    Items whose scores are equal but for rounding are tied here, where `rank_cases` may put them in some order.

    Raises:
        DataError: vectors that are not finite, or whose products need not be.
    """
    largest = _largest(scorer.item_vectors)
    if not np.isfinite(largest):
        raise DataError("the item vectors contain NaN or infinity; the model has diverged or its file is damaged")
    ranks, n_ranked = np.empty(len(cases.relevant.values), dtype=np.int64), np.empty(len(cases), dtype=np.int64)
    by_length = np.argsort(-cases.histories.lengths, kind="stable")
    with progress("evaluating", total=len(cases), quiet=quiet, first_after=2.0) as advance:
        for start in range(0, len(cases), _CASES_AT_ONCE):
            rows = by_length[start : start + _CASES_AT_ONCE]
            relevant, histories = cases.relevant.take(rows), cases.histories.take(rows)
            out = histories if exclude_history else None
            vectors = _vectors(scorer, histories, rows)
            _check_products(vectors, largest)
            found, n_ranked[rows] = _rank(scorer.item_vectors, vectors, relevant, out, rows, lists)
            ranks[ranges(cases.relevant.offsets[rows], relevant.lengths)] = found.values
            advance(len(rows))
    return Ragged(ranks, cases.relevant.offsets), n_ranked


def _rank(
    items: FloatArray,
    vectors: FloatArray,
    relevant: Ragged,
    excluded: Ragged | None,
    names: IntArray,
    lists: TopLists | None,
) -> tuple[Ragged, IntArray]:
    shape = (len(vectors), len(items))
    keys = item_keys(relevant, shape, names, "relevant")
    check_no_repeats(keys, shape[1], names)
    out = np.unique(item_keys(excluded, shape, names, "excluded")) if excluded is not None else keys[:0]
    check_disjoint(keys, np.isin(keys, out), shape[1], names)
    owners = owners_of(relevant)
    asked, answers = vectors[owners], items[relevant.values]
    targets = np.einsum("rd,rd->r", asked, answers)  # [R]
    rounding = _ROUNDINGS * np.finfo(targets.dtype).eps * np.einsum("rd,rd->r", np.abs(asked), np.abs(answers))
    least = targets - rounding  # from here on another item is tied
    cases, columns = np.divmod(np.concatenate([out, keys]), shape[1])
    order = np.argsort(columns, kind="stable")
    cases, columns, shown = cases[order], columns[order], (np.arange(len(cases)) >= len(out))[order]
    not_worse = np.zeros(len(targets), dtype=np.int64)
    step = max(1, _SCORES_AT_ONCE // len(vectors))
    for start in range(0, shape[1], step):
        scores = vectors @ items[start : start + step].T  # [B, n]
        part = slice(*np.searchsorted(columns, [start, start + step]))
        if lists is not None:
            hidden = ~shown[part]
            scores[cases[part][hidden], columns[part][hidden] - start] = -np.inf
            lists.note(names, scores, first_item=start)
        scores[cases[part], columns[part] - start] = -np.inf  # answers are put in order among themselves
        not_worse += count_not_worse(scores, least, relevant)
    n_ranked: IntArray = shape[1] - np.bincount(out // shape[1], minlength=shape[0])
    return ranks_behind(not_worse, targets, relevant), n_ranked


def _largest(numbers: FloatArray) -> float:
    """The largest absolute value; NaN where there is one."""
    return float(np.maximum(numbers.max(initial=0), -numbers.min(initial=0)))


def _check_products(vectors: FloatArray, largest_of_items: float) -> None:
    """Refuse vectors whose products with the items could be too large for the numbers that hold them."""
    most = vectors.shape[1] * _largest(vectors) * largest_of_items
    if most > float(np.finfo(vectors.dtype).max):
        raise DataError(f"scores may reach {most:.1g}, more than {vectors.dtype} holds; the model has diverged")


def _vectors(scorer: Products, histories: Ragged, rows: IntArray) -> FloatArray:
    vectors = scorer.read(Batch.of_rows(histories, max_length=scorer.max_length))
    expected = (len(rows), scorer.item_vectors.shape[1])
    if vectors.shape != expected:
        raise DataError(f"the scorer gave vectors of shape {vectors.shape}; expected {expected}: cases, width")
    broken = ~np.isfinite(vectors).all(axis=1)
    if broken.any():
        raise DataError(f"the vector of case {rows[broken][0]} contains NaN or infinity; the model has diverged")
    return vectors
