"""Rows of less than a byte a number: two codes to a byte, codes that name entries of books, thin factors."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from distilrec.errors import ArtifactError
from distilrec.search.finite import check_finite
from distilrec.search.rows import PIECE_NUMBERS, DecodedRows, Rows
from distilrec.storage.form import Array
from distilrec.types import FloatArray, IntArray

_PAIRS = np.stack([np.arange(256) % 16 - 8, np.arange(256) // 16 - 8], axis=1).astype(np.float32)  # [256, 2]


class Int4Rows(DecodedRows):
    """Codes of half a byte a number, the first in the lower half, and scales for equal groups of a row's columns."""

    def __init__(self, packed: Array, scales: Array, width: int) -> None:
        """Take codes uint8 [N, half of D], a code being a number and 8, and scales [N, groups]."""
        if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != (width + 1) // 2:
            raise ArtifactError(
                f"codes are {packed.dtype} of shape {packed.shape}; expected uint8 [N, {(width + 1) // 2}]"
            )
        if scales.ndim != 2 or len(scales) != len(packed) or not scales.shape[1] or width % scales.shape[1]:
            raise ArtifactError(
                f"scales have shape {scales.shape}; expected some for each of {len(packed)} rows of {width} columns"
            )
        check_finite("a scale", scales)
        self.packed, self.scales = np.ascontiguousarray(packed), scales.astype(np.float32)
        self.n_items, self.width = len(packed), width

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.packed.nbytes + self.scales.nbytes

    def take(self, items: IntArray) -> FloatArray:
        """Some rows, [n, D]."""
        return self._decode(self.packed.take(items, axis=0), self.scales.take(items, axis=0))

    def take_range(self, start: int, stop: int) -> FloatArray:
        """Rows one after another, [n, D]."""
        return self._decode(self.packed[start:stop], self.scales[start:stop])

    def scores(self, items: IntArray, vector: FloatArray) -> FloatArray:
        """Some products, [n]: a scale multiplies a group's sum, not each of its numbers."""
        codes, scales = self._codes(self.packed.take(items, axis=0)), self.scales.take(items, axis=0)  # [n, D]
        groups = scales.shape[1]
        sums = np.vecdot(
            codes.reshape(len(items), groups, self.width // groups), vector.reshape(groups, -1)
        )  # [n, groups]
        found: FloatArray = np.vecdot(sums, scales)
        return found

    def _codes(self, packed: Array) -> FloatArray:
        pairs = _PAIRS.view(np.complex64)[:, 0]  # looked up two at a time: half the work
        return pairs.take(packed).view(np.float32)[:, : self.width]

    def _decode(self, packed: Array, scales: FloatArray) -> FloatArray:
        codes = self._codes(packed)  # [n, D]
        if scales.shape[1] == 1:
            return codes * scales
        grouped = codes.reshape(*scales.shape, -1) * scales[:, :, None]  # [n, groups, D / groups]
        return grouped.reshape(codes.shape)


class CodebookRows(DecodedRows):
    """M codes a row, each of which names an entry of a book of D / M columns, and perhaps a length for each row."""

    def __init__(self, codes: Array, books: FloatArray, lengths: FloatArray | None = None) -> None:
        """Take codes uint8 [N, M], books [M, K, D / M] and lengths [N]."""
        if books.ndim != 3 or codes.ndim != 2 or codes.dtype != np.uint8 or codes.shape[1] != len(books):
            raise ArtifactError(f"codes of shape {codes.shape} and books of shape {books.shape} do not fit")
        check_finite("a book", books)
        self.books, self.lengths = np.ascontiguousarray(books, dtype=np.float32), lengths
        self.by_book = np.ascontiguousarray(codes.T)  # [M, N]: read one book after the other
        self.n_items, self.width = len(codes), books.shape[0] * books.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of codes, books and lengths."""
        return self.by_book.nbytes + self.books.nbytes + (0 if self.lengths is None else self.lengths.nbytes)

    def take(self, items: IntArray) -> FloatArray:
        """Some rows, [n, D]."""
        return self._decode(self.by_book[:, items], None if self.lengths is None else self.lengths[items])

    def take_range(self, start: int, stop: int) -> FloatArray:
        """Rows one after another, [n, D]."""
        lengths = None if self.lengths is None else self.lengths[start:stop]
        return self._decode(self.by_book[:, start:stop], lengths)

    def scores(self, items: IntArray, vector: FloatArray) -> FloatArray:
        """Some products, [n], looked up as all of them are."""
        found = np.zeros(len(items), dtype=np.float32)
        for table, codes in zip(self._entries(vector[None])[0], self.by_book, strict=True):
            found += table.take(codes.take(items))
        return found if self.lengths is None else found * self.lengths.take(items)

    def _entries(self, vectors: FloatArray) -> FloatArray:
        """Products of vectors with all entries of all books, [B, M, K]."""
        parts = vectors.reshape(len(vectors), len(self.books), 1, -1)  # [B, M, 1, D / M]
        found: FloatArray = np.vecdot(parts, self.books)
        return found

    def products(self, vectors: FloatArray) -> FloatArray:
        """All products, [B, N]: those of a vector with all entries are made once, looked up and added."""
        entries = self._entries(vectors)  # [B, M, K]
        found = np.zeros((len(vectors), self.n_items), dtype=np.float32)
        part = np.empty(min(PIECE_NUMBERS, self.n_items), dtype=np.float32)
        for own, scores in zip(entries, found, strict=True):
            for start in range(0, self.n_items, PIECE_NUMBERS):
                piece = scores[start : start + PIECE_NUMBERS]
                for table, codes in zip(own, self.by_book, strict=True):
                    piece += table.take(codes[start : start + PIECE_NUMBERS], out=part[: len(piece)], mode="clip")
        if self.lengths is not None:
            found *= self.lengths
        return found

    def _decode(self, by_book: Array, lengths: FloatArray | None) -> FloatArray:
        parts = [book[codes] for book, codes in zip(self.books, by_book, strict=True)]  # M of [n, D / M]
        rows = np.concatenate(parts, axis=1)
        return rows if lengths is None else rows * lengths[:, None]


class ProjectedRows(DecodedRows):
    """Rows times a matrix: a table of low rank, or one that was turned. Vectors are projected; rows stay small."""

    def __init__(self, inner: Rows, matrix: FloatArray) -> None:
        """Take rows of width R, and a matrix [R, D]."""
        if matrix.ndim != 2 or len(matrix) != inner.width:
            raise ArtifactError(f"rows of width {inner.width} and a matrix of shape {matrix.shape} do not fit")
        check_finite("the matrix of a table", matrix)
        self.inner, self.matrix = inner, np.ascontiguousarray(matrix, dtype=np.float32)
        self.n_items, self.width = inner.n_items, matrix.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of rows and matrix."""
        return self.inner.nbytes + self.matrix.nbytes

    @cached_property
    def bound(self) -> float:
        """Long enough for sums on both sides of the matrix, whose terms can be larger than what comes out."""
        return 3 * self.inner.bound * float(np.linalg.norm(self.matrix))

    def project(self, vectors: FloatArray) -> FloatArray:
        """Vectors [B, D] as the rows within meet them, [B, R]."""
        found: FloatArray = vectors @ self.matrix.T
        return found

    def take(self, items: IntArray) -> FloatArray:
        """Some rows, [n, D]."""
        rows: FloatArray = self.inner.take(items) @ self.matrix
        return rows

    def take_range(self, start: int, stop: int) -> FloatArray:
        """Rows one after another, [n, D]."""
        rows: FloatArray = self.inner.take_range(start, stop) @ self.matrix
        return rows

    def products(self, vectors: FloatArray) -> FloatArray:
        """All products, [B, N]."""
        return self.inner.products(self.project(vectors))

    def scores(self, items: IntArray, vector: FloatArray) -> FloatArray:
        """Some products, [n]."""
        return self.inner.scores(items, self.project(vector[None])[0])
