"""The vectors of a catalogue as they are stored, and their products with history vectors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

import numpy as np

from distilrec.errors import ArtifactError
from distilrec.search.finite import check_finite
from distilrec.storage.form import Array
from distilrec.types import FloatArray, IntArray

PIECE_NUMBERS = 1 << 18  # decoded at once: 1 MiB stays in the processor's cache


class Rows(Protocol):
    """N item vectors of width D."""

    @property
    def n_items(self) -> int:
        """How many there are, N."""
        ...

    @property
    def width(self) -> int:
        """How long each is, D."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes as they are held."""
        ...

    def take(self, items: IntArray) -> FloatArray:
        """Some of them, [n, D] float32."""
        ...

    def take_range(self, start: int, stop: int) -> FloatArray:
        """Those from `start` to before `stop`, [n, D] float32."""
        ...

    @property
    def bound(self) -> float:
        """A length that no row exceeds, nor whatever a product goes through on its way: how far it may be off."""
        ...

    def products(self, vectors: FloatArray) -> FloatArray:
        """Every row's product with every vector [B, D], [B, N], in the fastest way; the last bits may differ."""
        ...

    def scores(self, items: IntArray, vector: FloatArray) -> FloatArray:
        """Some rows' products with one vector [D], [n], each worked out alike wherever it stands."""
        ...


class DecodedRows:
    """What rows do that have no better way than to be decoded, a few at a time."""

    n_items: int
    width: int

    @property
    def nbytes(self) -> int:
        """Bytes as they are held."""
        raise NotImplementedError

    def take(self, items: IntArray) -> FloatArray:
        """Some rows, [n, D]."""
        raise NotImplementedError

    def take_range(self, start: int, stop: int) -> FloatArray:
        """Rows one after another, [n, D]."""
        raise NotImplementedError

    @cached_property
    def bound(self) -> float:
        """The length of the longest row."""
        return max((float(np.vecdot(part, part).max()) ** 0.5 for _, part in pieces(self)), default=0.0)

    def products(self, vectors: FloatArray) -> FloatArray:
        """All products, [B, N]."""
        found = np.empty((len(vectors), self.n_items), dtype=np.float32)
        for start, part in pieces(self):
            found[:, start : start + len(part)] = np.matmul(vectors, part.T)
        return found

    def scores(self, items: IntArray, vector: FloatArray) -> FloatArray:
        """Some products, [n]."""
        found: FloatArray = np.vecdot(self.take(items), vector)
        return found


class FloatRows(DecodedRows):
    """A table of float32, or of float16, which takes half the bytes and is widened as it is read."""

    def __init__(self, table: Array) -> None:
        if table.ndim != 2 or table.dtype not in (np.float32, np.float16):
            raise ArtifactError(
                f"the item table is {table.dtype} of shape {table.shape}; expected float32 or float16 [N, D]"
            )
        check_finite("the item table", table)
        self.table = np.ascontiguousarray(table)
        self.n_items, self.width = table.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.table.nbytes

    def take(self, items: IntArray) -> FloatArray:
        """Some rows, [n, D]."""
        return self.table.take(items, axis=0).astype(np.float32, copy=False)  # half the time of table[items]

    def take_range(self, start: int, stop: int) -> FloatArray:
        """Rows one after another, [n, D]; a view where nothing is widened."""
        return self.table[start:stop].astype(np.float32, copy=False)

    def products(self, vectors: FloatArray) -> FloatArray:
        """All products, [B, N]."""
        if self.table.dtype != np.float32:
            return super().products(vectors)
        found: FloatArray = np.matmul(vectors, self.table.T)
        return found


class Int8Rows(DecodedRows):
    """Codes of a byte a number, and a scale for each row: the numbers are their products."""

    def __init__(self, codes: Array, scales: Array) -> None:
        if codes.ndim != 2 or codes.dtype != np.int8:
            raise ArtifactError(f"codes are {codes.dtype} of shape {codes.shape}; expected int8 [N, D]")
        if scales.shape != codes.shape[:1] or not np.issubdtype(scales.dtype, np.floating):
            raise ArtifactError(
                f"scales are {scales.dtype} of shape {scales.shape}; expected a floating point number for each of "
                f"{len(codes)} rows of codes"
            )
        check_finite("a scale", scales)
        self.codes, self.scales = np.ascontiguousarray(codes), scales.astype(np.float32)
        self.n_items, self.width = codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.codes.nbytes + self.scales.nbytes

    def take(self, items: IntArray) -> FloatArray:
        """Some rows, [n, D]."""
        return self.codes.take(items, axis=0) * self.scales.take(items)[:, None]

    def take_range(self, start: int, stop: int) -> FloatArray:
        """Rows one after another, [n, D]."""
        return self.codes[start:stop] * self.scales[start:stop, None]

    def scores(self, items: IntArray, vector: FloatArray) -> FloatArray:
        """Some products, [n]: a scale multiplies a score, not each number of its row."""
        codes = self.codes.take(items, axis=0).astype(np.float32)  # [n, D]
        found: FloatArray = np.vecdot(codes, vector) * self.scales.take(items)
        return found

    def products(self, vectors: FloatArray) -> FloatArray:
        """All products, [B, N]."""
        found = np.empty((len(vectors), self.n_items), dtype=np.float32)
        step = max(1, PIECE_NUMBERS // max(self.width, 1))
        piece = np.empty((min(step, self.n_items), self.width), dtype=np.float32)
        for start in range(0, self.n_items, step):
            codes = self.codes[start : start + step]
            np.copyto(piece[: len(codes)], codes)
            found[:, start : start + step] = np.matmul(vectors, piece[: len(codes)].T)
        found *= self.scales
        return found


def pieces(rows: Rows) -> Iterator[tuple[int, FloatArray]]:
    """All rows, some at a time, [n, D], each time with the number of the first."""
    step = max(1, PIECE_NUMBERS // max(rows.width, 1))
    for start in range(0, rows.n_items, step):
        yield start, rows.take_range(start, min(start + step, rows.n_items))
