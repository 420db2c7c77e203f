"""k-means in numpy, and the rotation after which its books fit best: what codebooks are made with."""

from __future__ import annotations

import numpy as np

from distilrec.types import FloatArray, IntArray

_CHUNK_NUMBERS = 1 << 16  # likenesses worked out at once: they stay in the processor's cache, 18 times as fast


def nearest(points: FloatArray, centroids: FloatArray) -> IntArray:
    """The row number of each point's nearest centroid, [N]; of equally near ones the first."""
    # -|p - c|^2 / 2 without |p|^2, which all centroids have alike, is one product: [p, 1] times [c, -|c|^2 / 2]
    halves = np.einsum("kd,kd->k", centroids, centroids) / -2
    weights = np.ascontiguousarray(np.column_stack([centroids, halves]).T)  # [d + 1, K]
    extended = np.column_stack([points, np.ones(len(points), dtype=np.float32)])  # [N, d + 1]
    labels = np.empty(len(points), dtype=np.int64)
    step = max(1, _CHUNK_NUMBERS // len(centroids))
    likeness = np.empty((step, len(centroids)), dtype=np.float32)
    for start in range(0, len(points), step):
        rows = extended[start : start + step]
        np.matmul(rows, weights, out=likeness[: len(rows)])
        labels[start : start + step] = likeness[: len(rows)].argmax(axis=1)
    return labels


def k_means(
    points: FloatArray, k: int, generator: np.random.Generator, *, rounds: int, start: FloatArray | None = None
) -> FloatArray:
    """k centroids, [k, d], by Lloyd's algorithm; stops when no point changes its centroid.

    Where there are at most k different points, they are the centroids. A centroid that loses all its points becomes
    one of the points of the fullest.
    """
    if start is None:
        different = np.unique(points, axis=0)
        if len(different) <= k:
            return np.concatenate([different, np.repeat(different[-1:], k - len(different), axis=0)])
        start = different[generator.choice(len(different), k, replace=False)]
    centroids, before = start, None
    for _ in range(rounds):
        labels = nearest(points, centroids)
        if before is not None and np.array_equal(labels, before):
            break
        centroids, before = _means(points, labels, k, centroids, generator), labels
    return centroids


def _means(
    points: FloatArray, labels: IntArray, k: int, centroids: FloatArray, generator: np.random.Generator
) -> FloatArray:
    counts = np.bincount(labels, minlength=k)
    sums = np.stack([np.bincount(labels, weights=column, minlength=k) for column in points.T], axis=1)  # [k, d]
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centroids).astype(np.float32)
    for empty in np.flatnonzero(counts == 0):
        fullest = int(counts.argmax())
        members = np.flatnonzero(labels == fullest)
        means[empty] = points[members[generator.integers(len(members))]]
        counts[fullest] -= counts[fullest] // 2  # the next empty one goes elsewhere
    return means


def split(rows: FloatArray, n_parts: int) -> list[FloatArray]:
    """The columns in equal runs, each [N, D / parts] in memory of its own."""
    width = rows.shape[1] // n_parts
    return [np.ascontiguousarray(rows[:, m * width : (m + 1) * width]) for m in range(n_parts)]


def join(books: FloatArray, codes: IntArray | np.ndarray) -> FloatArray:
    """The rows that codes [N, M] name in books [M, K, D / M], [N, D]."""
    n_parts, _, width = books.shape
    rows = np.empty((len(codes), n_parts * width), dtype=np.float32)
    for m in range(n_parts):
        rows[:, m * width : (m + 1) * width] = books[m][codes[:, m]]
    return rows


def assign(rows: FloatArray, books: FloatArray) -> IntArray:
    """Each row's codes, [N, M]."""
    return np.stack([nearest(part, book) for part, book in zip(split(rows, len(books)), books, strict=True)], axis=1)


def learn_books(
    rows: FloatArray,
    n_books: int,
    size: int,
    generator: np.random.Generator,
    *,
    rounds: int,
    start: FloatArray | None = None,
) -> FloatArray:
    """Books [M, size, D / M], one for each run of columns."""
    parts = split(rows, n_books)
    starts = [None] * n_books if start is None else list(start)
    return np.stack([k_means(p, size, generator, rounds=rounds, start=s) for p, s in zip(parts, starts, strict=True)])


def learn_rotation(
    rows: FloatArray, n_books: int, size: int, generator: np.random.Generator, *, rounds: int
) -> FloatArray:
    """The rotation [D, D] whose product with the rows books fit best: OPQ, Ge et al., CVPR 2013, the alternating form.

    It begins with the principal axes, dealt out so that each run of columns has the same product of variances.
    """
    rotation = _balanced_axes(rows, n_books)
    books: FloatArray | None = None
    for _ in range(rounds):
        turned = rows @ rotation
        books = learn_books(turned, n_books, size, generator, rounds=3 if books is None else 1, start=books)
        wanted = join(books, assign(turned, books))
        left, _, right = np.linalg.svd(rows.T @ wanted)  # the rotation nearest to taking rows to what books hold
        rotation = (left @ right).astype(np.float32)
    return rotation


def _balanced_axes(rows: FloatArray, n_books: int) -> FloatArray:
    variances, axes = np.linalg.eigh((rows.T @ rows).astype(np.float64))
    width = rows.shape[1] // n_books
    held: list[list[int]] = [[] for _ in range(n_books)]
    logs = np.zeros(n_books)
    for axis in np.argsort(-variances):
        free = [m for m in range(n_books) if len(held[m]) < width]
        least = min(free, key=lambda m: (logs[m], m))
        held[least].append(int(axis))
        logs[least] += np.log(max(variances[axis], 1e-30))
    return axes[:, [axis for axes_of in held for axis in axes_of]].astype(np.float32)
