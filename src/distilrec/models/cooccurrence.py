"""How many users had both of two items: what item-kNN and EASE are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from distilrec.errors import MissingExtraError
from distilrec.types import IntArray, Ragged

_BLOCK_NUMBERS = 1 << 24  # of one block, were it dense: 64 MiB of float32


def cooccurrence_blocks(sequences: Ragged, n_items: int) -> Iterator[tuple[slice, Any]]:
    """Rows of the item-by-item matrix of common users, some at a time: `(rows, scipy CSR array [rows, N])`.

    A user who had an item twice counts once. The diagonal tells how many users had each item. Columns are sorted.
    """
    used = _user_items(sequences, n_items)
    used_by = used.T.tocsr()
    step = max(1, _BLOCK_NUMBERS // n_items)
    for start in range(0, n_items, step):
        rows = slice(start, min(start + step, n_items))
        block = used_by[rows] @ used
        block.sort_indices()
        yield rows, block


def users_of_items(sequences: Ragged, n_items: int) -> IntArray:
    """How many users had each item, [N]."""
    users = np.repeat(np.arange(len(sequences)), sequences.lengths)
    items = np.unique(users * n_items + sequences.values) % n_items
    return np.bincount(items, minlength=n_items)


def _user_items(sequences: Ragged, n_items: int) -> Any:  # noqa: ANN401  (scipy has no types)
    try:
        from scipy import sparse
    except ImportError:
        raise MissingExtraError("scipy", "train") from None
    ones = np.ones(len(sequences.values), dtype=np.float32)
    items = sequences.values.copy()  # scipy would sort the caller's histories in their place
    used = sparse.csr_array((ones, items, sequences.offsets.copy()), shape=(len(sequences), n_items))
    used.sum_duplicates()
    used.data[:] = 1
    return used
