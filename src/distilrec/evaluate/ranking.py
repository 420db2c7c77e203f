"""Where the relevant items stand in a ranking of the whole catalogue.

The tie policy: **ties count against the model.** An irrelevant item with the same score stands before the relevant
one, so a scorer that gives every item the same score finds nothing. Sorting would let the order of the catalogue
decide instead, and flatter a model whose scores have collapsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import DataError, SettingsError
from distilrec.types import FloatArray, IntArray, Ragged

_FEW = 16  # relevant items of a case; for more, sorting its scores once is faster than counting for each


@dataclass(frozen=True)
class Ranking:
    """What is known of some cases once they are ranked."""

    ranks: Ragged  # B rows, of the relevant items; 1 is best
    n_ranked: IntArray  # [B], how many items compete
    scores: FloatArray  # [B, N], -infinity where excluded


def ranks_of_relevant(
    scores: FloatArray,
    relevant: Ragged,
    excluded: Ragged | None = None,
    *,
    case_numbers: IntArray | None = None,
) -> Ragged:
    """The rank of each relevant item among the items that are not excluded; 1 is best.

    Row b of the answer lines up with row b of `relevant`. Relevant items of one case never push each other beyond
    the number of them: n relevant items at the top have the ranks 1 to n. `excluded` holds what each user has
    already had (repeats are fine). `case_numbers` only serve the messages.

    >>> scores = np.array([[0.9, 0.5, 0.7]], dtype=np.float32)
    >>> list(ranks_of_relevant(scores, Ragged.of([[1]]), excluded=Ragged.of([[0]])))
    [array([2])]
    """
    return rank(scores, relevant, excluded, case_numbers=case_numbers).ranks


def rank(
    scores: FloatArray, relevant: Ragged, excluded: Ragged | None = None, *, case_numbers: IntArray | None = None
) -> Ranking:
    """The same with what else comes of it. The scores that are given stay as they are."""
    names = np.arange(len(scores)) if case_numbers is None else case_numbers
    _check_scores(scores, len(relevant), names)
    keys = item_keys(relevant, scores.shape, names, "relevant")
    check_no_repeats(keys, scores.shape[1], names)
    n_out = np.zeros(len(scores), dtype=np.int64)
    if excluded is not None:
        out_keys = item_keys(excluded, scores.shape, names, "excluded")
        out = np.zeros(scores.shape, dtype=np.bool_)
        out.ravel()[out_keys] = True
        check_disjoint(keys, out.ravel()[keys], scores.shape[1], names)
        n_out[:] = count_in_rows(out)
        scores = scores.copy()
        scores.ravel()[out_keys] = -np.inf
    targets = scores.ravel().take(keys)  # [R], R relevant items of all cases together
    not_worse = count_not_worse(scores, targets, relevant) - np.where(targets == -np.inf, n_out[owners_of(relevant)], 0)
    return Ranking(ranks_among_relevant(not_worse, targets, relevant), scores.shape[1] - n_out, scores)


def ranks_among_relevant(not_worse: IntArray, targets: FloatArray, relevant: Ragged) -> Ragged:
    """Ranks of relevant items, whose scores are `targets` [R], from how many ranked items score at least as much.

    Each counts itself and its fellows in `not_worse` [R]; only those of its fellows that are better push it back.
    """
    owners = owners_of(relevant)
    best_first, place = _among_fellows(targets, relevant)
    ordered, cases = targets[best_first], owners[best_first]
    last_of_equals = np.append((ordered[1:] != ordered[:-1]) | (cases[1:] != cases[:-1]), True)
    ends = np.flatnonzero(last_of_equals)  # fellows that are as good or better, counted within the case
    fellows = np.empty(len(targets), dtype=np.int64)
    fellows[best_first] = ends[np.searchsorted(ends, np.arange(len(targets)))] + 1 - relevant.offsets[cases]
    return Ragged(1 + place + not_worse - fellows, relevant.offsets)


def ranks_behind(others: IntArray, targets: FloatArray, relevant: Ragged) -> Ragged:
    """The same from how many items that are not relevant stand before each, [R]."""
    return Ragged(1 + _among_fellows(targets, relevant)[1] + others, relevant.offsets)


def _among_fellows(targets: FloatArray, relevant: Ragged) -> tuple[IntArray, IntArray]:
    """Relevant items by case and best first, and the place of each among its fellows, [R]: 0 is the best."""
    owners = owners_of(relevant)
    best_first = np.lexsort((-targets, owners))  # of equal ones the first in the case
    place = np.empty(len(targets), dtype=np.int64)
    place[best_first] = np.arange(len(targets)) - relevant.offsets[owners]
    return best_first, place


def owners_of(rows: Ragged) -> IntArray:
    """The row that each value belongs to."""
    return np.repeat(np.arange(len(rows)), rows.lengths)


def count_not_worse(scores: FloatArray, targets: FloatArray, relevant: Ragged) -> IntArray:
    """How many scores of a case are at least as high as that of each of its relevant items, [R]."""
    counts = np.empty(len(targets), dtype=np.int64)
    lengths, begins = relevant.lengths, relevant.offsets[:-1]
    few = lengths < _FEW
    for place in range(int(lengths[few].max(initial=0))):
        cases = np.flatnonzero(few & (lengths > place))
        those, asked = scores if len(cases) == len(scores) else scores[cases], begins[cases] + place
        counts[asked] = count_in_rows(those >= targets[asked, None])
    for case in np.flatnonzero(~few):
        asked = np.arange(begins[case], begins[case] + lengths[case])
        counts[asked] = scores.shape[1] - np.searchsorted(np.sort(scores[case]), targets[asked])
    return counts


def count_in_rows(marks: NDArray[np.bool_]) -> IntArray:
    """How many marks are set in each row, [B]: of their bits, half the time of `np.count_nonzero` by rows."""
    counts: IntArray = np.bitwise_count(np.packbits(marks, axis=1)).sum(axis=1, dtype=np.int64)
    return counts


def check_cutoffs(cutoffs: Sequence[int], n_items: int) -> None:
    """Refuse cut-offs that make no sense for a catalogue of this size."""
    if len(set(cutoffs)) != len(cutoffs):
        raise SettingsError(f"cut-offs {list(cutoffs)} name one twice; expected different ones")
    for k in cutoffs:
        if k < 1:
            raise SettingsError(f"cut-off {k} is not a length of a list; expected 1 or more")
        if k > n_items:
            raise SettingsError(f"cut-off {k} is larger than the catalogue of {n_items} items; choose smaller ones")


def _check_scores(scores: FloatArray, n_cases: int, names: IntArray) -> None:
    if scores.ndim != 2 or len(scores) != n_cases or scores.shape[1] == 0:
        raise DataError(f"scores have shape {scores.shape}; expected ({n_cases}, number of items)")
    broken = np.isnan(scores.max(axis=1))  # max carries NaN on, and needs no [B, N] of its own
    if broken.any():
        raise DataError(
            f"the scores of case {names[broken][0]} contain NaN ({int(broken.sum())} of {n_cases} cases in this "
            "batch do); the model has diverged or its file is damaged"
        )


def item_keys(rows: Ragged, shape: tuple[int, ...], names: IntArray, what: str) -> IntArray:
    """One number for each (case, item) pair, in the order of the rows."""
    n_cases, n_items = shape
    if len(rows) != n_cases:
        raise DataError(f"{what} items were given for {len(rows)} cases; expected {n_cases}, as many as scores")
    cases = owners_of(rows)
    outside = (rows.values < 0) | (rows.values >= n_items)
    if outside.any():
        item, name = rows.values[outside][0], names[cases[outside][0]]
        raise DataError(f"{what} item {item} of case {name} is outside the catalogue of {n_items} items")
    return cases * n_items + rows.values


def check_no_repeats(keys: IntArray, n_items: int, names: IntArray) -> None:
    """Refuse a case that names a relevant item twice."""
    unique, counts = np.unique(keys, return_counts=True)
    if (counts > 1).any():
        case, item = divmod(int(unique[counts > 1][0]), n_items)
        raise DataError(f"case {names[case]} names relevant item {item} twice; expected each once")


def check_disjoint(keys: IntArray, excluded: NDArray[np.bool_], n_items: int, names: IntArray) -> None:
    """Refuse relevant items, by their keys, that are excluded, which no model could find."""
    if excluded.any():
        case, item = divmod(int(keys[excluded][0]), n_items)
        raise DataError(
            f"relevant item {item} of case {names[case]} is in its history, which is excluded from the ranking, so "
            "no model could find it. Evaluate with exclude_history=False, or drop repeated items from the split"
        )
