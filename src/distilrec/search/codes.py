"""Codes of 4 bits that a processor adds up sixteen or thirty-two items at a time: faiss's fast scan (André et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Self

import numpy as np

from distilrec.errors import ArtifactError, MissingExtraError
from distilrec.search.finite import check_finite
from distilrec.search.rows import Rows, pieces
from distilrec.storage.form import Array
from distilrec.storage.integers import pack_halves
from distilrec.types import FloatArray, IntArray

_ENTRIES = 16  # of a book: 4 bits
_SAMPLE = 1 << 14  # rows that books are learnt from: a thousand for each entry
_LONG = 10  # one row in so many counts as long
_STEP = 0.45  # standard deviations between two numbers of a grid, which reaches 3.4 of them to both sides


def faiss_is_installed() -> bool:
    """Whether fast scans can be had here."""
    return find_spec("faiss") is not None


def _faiss() -> Any:  # noqa: ANN401  (a module without types)
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("faiss", "search") from None
    return faiss


@dataclass(frozen=True, eq=False)
class Codes:
    """What a fast scan is made of: plain arrays, which can be kept in a file and opened without running anything."""

    books: FloatArray
    """Entries of each run of columns, [M, 16, D / M]."""
    packed: Array
    """The entry that each row has of each book, uint8 [N, half of M], the first in the lower half."""

    def __post_init__(self) -> None:
        if self.books.ndim != 3 or self.books.shape[1] != _ENTRIES or self.books.dtype != np.float32:
            raise ArtifactError(f"books are {self.books.dtype} {self.books.shape}; expected float32 [M, 16, D / M]")
        halves = (len(self.books) + 1) // 2
        if self.packed.ndim != 2 or self.packed.dtype != np.uint8 or self.packed.shape[1] != halves:
            raise ArtifactError(f"codes are {self.packed.dtype} {self.packed.shape}; expected uint8 [N, {halves}]")
        check_finite("a book", self.books)

    @property
    def n_items(self) -> int:
        """How many rows are coded, N."""
        return len(self.packed)

    @property
    def width(self) -> int:
        """How many columns they have, D."""
        return len(self.books) * int(self.books.shape[2])

    @classmethod
    def grid(cls, rows: Rows) -> Self:
        """A code for each column: the nearest of 16 numbers at equal distances around the column's mean.

        Nothing is learnt, and no column's far ends, where the best items lie, are left out for its crowded middle.
        """
        mean, deviation = _moments(rows)
        step = np.maximum(_STEP * deviation, np.finfo(np.float32).tiny)
        middle = (_ENTRIES - 1) / 2
        codes = (np.clip(np.rint((part - mean) / step + middle), 0, _ENTRIES - 1) for _, part in pieces(rows))
        books = mean[:, None] + (np.arange(_ENTRIES, dtype=np.float32) - middle) * step[:, None]  # [D, 16]
        return cls(books[:, :, None].astype(np.float32), np.concatenate([pack_halves(part) for part in codes]))

    @classmethod
    def learn(cls, rows: Rows, n_codes: int, *, seed: int = 0) -> Self:
        """A code for each run of columns, of books that k-means learns from the longest rows: seconds for a million.

        Products are largest with long rows, so that books which tell these apart find more than books of all rows.

        Raises:
            MissingExtraError: faiss is not installed.
        """
        faiss = _faiss()
        faiss.omp_set_num_threads(1)
        quantiser = faiss.ProductQuantizer(rows.width, n_codes, 4)
        quantiser.cp.min_points_per_centroid, quantiser.cp.seed = 1, seed
        quantiser.train(rows.take(_long_rows(rows, np.random.default_rng(seed))))
        packed = np.concatenate([quantiser.compute_codes(part) for _, part in pieces(rows)])
        books = faiss.vector_to_array(quantiser.centroids).reshape(n_codes, _ENTRIES, -1)
        return cls(books, packed)

    @classmethod
    def stored(cls, codes: Array, books: FloatArray) -> Self:
        """Codes [N, M] and books of a table that is stored as such."""
        return cls(np.ascontiguousarray(books, dtype=np.float32), pack_halves(codes))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """What `to_arrays` gave.

        Raises:
            ArtifactError: they are not `books` and `codes` that fit each other.
        """
        if arrays.keys() != {"books", "codes"}:
            raise ArtifactError(f"a fast scan is made of books and codes; the file has {', '.join(arrays) or 'none'}")
        return cls(arrays["books"], arrays["codes"])

    def to_arrays(self) -> dict[str, Array]:
        """`books` and `codes`, to be kept."""
        return {"books": self.books, "codes": self.packed}


def _moments(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each column, [D]."""
    sums, squares = np.zeros((2, rows.width))
    for _, part in pieces(rows):
        sums += part.sum(axis=0)
        squares += np.square(part).sum(axis=0, dtype=np.float64)
    mean = sums / rows.n_items
    deviation = np.sqrt(np.maximum(squares / rows.n_items - mean**2, 0))
    return mean.astype(np.float32), deviation.astype(np.float32)


def _long_rows(rows: Rows, generator: np.random.Generator) -> IntArray:
    """Row numbers of a sample of the longest tenth; of few rows, all, again and again until books can be learnt."""
    lengths = np.concatenate([np.vecdot(part, part) for _, part in pieces(rows)])
    count = min(rows.n_items, max(_SAMPLE, rows.n_items // _LONG))
    longest = np.sort(np.argpartition(-lengths, count - 1)[:count])
    chosen = np.sort(generator.choice(longest, min(count, _SAMPLE), replace=False))
    return np.resize(chosen, max(len(chosen), _ENTRIES))


class FastScan:
    """The items whose codes promise the largest products."""

    def __init__(self, codes: Codes) -> None:
        self._library = _faiss()
        plain = self._library.IndexPQ(codes.width, len(codes.books), 4, self._library.METRIC_INNER_PRODUCT)
        self._library.copy_array_to_vector(codes.books.ravel(), plain.pq.centroids)
        self._library.copy_array_to_vector(codes.packed.ravel(), plain.codes)
        plain.ntotal, plain.is_trained = codes.n_items, True
        self._index = self._library.IndexPQFastScan(plain)
        self.nbytes = int(self._index.codes.size()) + codes.books.nbytes

    def best(self, vectors: FloatArray, count: int) -> IntArray:
        """The `count` best of each vector [B, D] by their codes, [B, count]."""
        self._library.omp_set_num_threads(1)  # each thread has a number of its own, so it is told each time
        found: IntArray = self._index.search(np.ascontiguousarray(vectors), count)[1]
        return found
