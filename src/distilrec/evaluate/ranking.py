"""Where the relevant items stand in a ranking of the whole catalogue.

The tie policy: **ties count against the model.** An irrelevant item with the same score stands before the relevant
one, so a scorer that gives every item the same score finds nothing. Sorting would let the order of the catalogue
decide instead, and flatter a model whose scores have collapsed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import DataError, SettingsError
from distilrec.types import FloatArray, IntArray, Ragged

_FEW = 16  # relevant items of a case; for more, sorting its scores once is faster than counting for each


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
    names = np.arange(len(scores)) if case_numbers is None else case_numbers
    _check_scores(scores, len(relevant), names)
    relevant_keys = _item_keys(relevant, scores.shape, names, "relevant")
    _check_no_repeats(relevant_keys, scores.shape[1], names)
    if excluded is not None:
        excluded_keys = _distinct(_item_keys(excluded, scores.shape, names, "excluded"))
        _check_disjoint(relevant_keys, excluded_keys, scores.shape[1], names)
        excluded = _rows_of_keys(excluded_keys, scores.shape)

    targets = scores.ravel().take(relevant_keys)  # [R], R relevant items of all cases together
    before = _not_worse(scores, targets, relevant)
    if excluded is not None:
        before -= count_not_worse(scores.ravel().take(excluded_keys), excluded, targets, relevant)
    return ranks_among_relevant(before, targets, relevant)


def ranks_among_relevant(not_worse: IntArray, targets: FloatArray, relevant: Ragged) -> Ragged:
    """Ranks of relevant items, whose scores are `targets` [R], from how many ranked items score at least as much.

    Each counts itself and its fellows in `not_worse` [R]; only those of its fellows that are better push it back.
    """
    owners = owners_of(relevant)
    place = np.empty(len(targets), dtype=np.int64)  # among its fellows: 0 is the best
    place[np.lexsort((-targets, owners))] = np.arange(len(targets)) - relevant.offsets[owners]
    fellows = count_not_worse(targets, relevant, targets, relevant)
    return Ragged(1 + place + not_worse - fellows, relevant.offsets)


def count_not_worse(values: FloatArray, rows: Ragged, targets: FloatArray, relevant: Ragged) -> IntArray:
    """How many of a case's values are at least as large as each of its targets, [R].

    `values` belong to the entries of `rows` and `targets` to those of `relevant`; both have a row a case.
    """
    owners, value_owners = owners_of(relevant), owners_of(rows)
    if len(relevant) == len(targets) and (relevant.lengths == 1).all():  # twenty times faster than sorting
        not_worse = values >= targets[value_owners]
        return np.bincount(value_owners[not_worse], minlength=len(relevant)).astype(np.int64, copy=False)
    is_target = np.repeat([False, True], [len(values), len(targets)])
    joined, cases = np.concatenate([values, targets]), np.concatenate([value_owners, owners])
    order = np.lexsort((is_target, -joined, cases))  # best first; values before equal targets
    seen = np.cumsum(~is_target[order])
    counts = np.empty(len(order), dtype=np.int64)
    counts[order] = seen
    return counts[len(values) :] - rows.offsets[owners]


def distinct_rows(rows: Ragged) -> Ragged:
    """Each row's values in rising order, each once."""
    if not len(rows.values):
        return rows
    least = rows.values.min()
    span = int(rows.values.max() - least) + 1
    keys = _distinct(owners_of(rows) * span + (rows.values - least))
    offsets = np.searchsorted(keys, np.arange(len(rows) + 1) * span)
    return Ragged(keys % span + least, offsets.astype(np.int64, copy=False))


def owners_of(rows: Ragged) -> IntArray:
    """The row that each value belongs to."""
    return np.repeat(np.arange(len(rows)), rows.lengths)


def _not_worse(scores: FloatArray, targets: FloatArray, relevant: Ragged) -> IntArray:
    counts = np.empty(len(targets), dtype=np.int64)
    begins = relevant.offsets.tolist()
    for case, row in enumerate(scores):  # a row at a time stays in the processor's cache: 8x faster than [B, N]
        begin, end = begins[case], begins[case + 1]
        if end - begin < _FEW:
            for index in range(begin, end):
                counts[index] = np.count_nonzero(row >= targets[index])
        else:
            counts[begin:end] = len(row) - np.searchsorted(np.sort(row), targets[begin:end])
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


def _item_keys(rows: Ragged, shape: tuple[int, ...], names: IntArray, what: str) -> IntArray:
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


def _distinct(keys: IntArray) -> IntArray:
    """Keys in order, each once: np.unique, which is fifteen times slower."""
    if (keys[1:] > keys[:-1]).all():
        return keys
    keys = np.sort(keys)
    first: NDArray[np.bool_] = np.concatenate([[True], keys[1:] != keys[:-1]])
    return keys[first]


def _rows_of_keys(keys: IntArray, shape: tuple[int, ...]) -> Ragged:
    n_cases, n_items = shape
    return Ragged(keys % n_items, np.searchsorted(keys, np.arange(n_cases + 1) * n_items).astype(np.int64))


def _check_no_repeats(keys: IntArray, n_items: int, names: IntArray) -> None:
    unique, counts = np.unique(keys, return_counts=True)
    if (counts > 1).any():
        case, item = divmod(int(unique[counts > 1][0]), n_items)
        raise DataError(f"case {names[case]} names relevant item {item} twice; expected each once")


def _check_disjoint(relevant_keys: IntArray, excluded_keys: IntArray, n_items: int, names: IntArray) -> None:
    if not len(excluded_keys):
        return
    nearest = np.minimum(np.searchsorted(excluded_keys, relevant_keys), len(excluded_keys) - 1)
    both = excluded_keys[nearest] == relevant_keys
    if both.any():
        case, item = divmod(int(relevant_keys[both][0]), n_items)
        raise DataError(
            f"relevant item {item} of case {names[case]} is in its history, which is excluded from the ranking, so "
            "no model could find it. Evaluate with exclude_history=False, or drop repeated items from the split"
        )
