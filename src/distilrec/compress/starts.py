"""Small tables that make up a finished one as nearly as they can: where learning a shared table starts."""

from __future__ import annotations

import numpy as np

from distilrec.storage import Hashed, QuotientRemainder
from distilrec.storage.form import Array
from distilrec.types import FloatArray, IntArray

_ROUNDS = 20


def hashed_start(table: Array, form: Hashed) -> FloatArray:
    """The small table [buckets, D] whose sums are near the rows of the table, by gradient steps of least squares."""
    rows = form.rows()  # [N, hashes]
    small = np.zeros((form.buckets, table.shape[1]), dtype=np.float32)
    counts = np.maximum(np.bincount(rows.ravel(), minlength=form.buckets), 1)[:, None] * form.hashes
    for _ in range(_ROUNDS):
        off = table - small[rows].sum(axis=1)  # [N, D]
        small += sum(_sums(off, column, form.buckets) for column in rows.T) / counts
    return small.astype(np.float32)


def quotient_remainder_start(table: Array, form: QuotientRemainder) -> dict[str, Array]:
    """`quotients` and `remainders` whose sums, or products, are near the rows of the table, each fitted in turn."""
    at = np.arange(len(table))
    sides = {"quotients": at // form.buckets, "remainders": at % form.buckets}
    sizes = {"quotients": int(sides["quotients"].max()) + 1, "remainders": form.buckets}
    product = form.combine == "product"
    found = {name: np.full((size, table.shape[1]), float(product)) for name, size in sizes.items()}
    for _ in range(_ROUNDS):
        for mine, other in (("quotients", "remainders"), ("remainders", "quotients")):
            theirs = found[other][sides[other]]  # [N, D]
            weights = theirs**2 if product else np.ones_like(theirs)
            wanted = table * theirs if product else table - theirs
            total = _sums(weights, sides[mine], sizes[mine])
            found[mine] = _sums(wanted, sides[mine], sizes[mine]) / np.maximum(total, 1e-12)
    return {name: small.astype(np.float32) for name, small in found.items()}


def _sums(rows: Array, groups: IntArray, n_groups: int) -> Array:
    """The sum of the rows of each group, [groups, D]."""
    return np.stack([np.bincount(groups, weights=column, minlength=n_groups) for column in rows.T], axis=1)
