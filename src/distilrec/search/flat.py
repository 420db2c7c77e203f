"""Every product, in float32: exact, and the fastest for small catalogues."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distilrec.search.best import best_of_all, rounding
from distilrec.search.question import Found, ask
from distilrec.search.rows import FloatRows, Rows
from distilrec.storage.form import Array
from distilrec.types import FloatArray, IntArray


class FlatIndex:
    """A table whose every row is multiplied with every vector."""

    def __init__(self, table: Array | Rows) -> None:
        """Take a table float32 or float16 [N, D], or rows stored in another way.

        Raises:
            ArtifactError: it is no such table, or holds NaN or infinity.
        """
        self.rows: Rows = FloatRows(table) if isinstance(table, np.ndarray) else table
        self._bound = self.rows.bound

    @property
    def n_items(self) -> int:
        """How many items there are, N."""
        return self.rows.n_items

    @property
    def width(self) -> int:
        """How long a vector is, D."""
        return self.rows.width

    @property
    def nbytes(self) -> int:
        """Bytes of the table."""
        return self.rows.nbytes

    def search(
        self, vectors: FloatArray, k: int, *, exclude: Sequence[IntArray] | None = None, allow: Array | None = None
    ) -> Found:
        """The k best items for each vector; see `ItemIndex`."""
        return best_of_all(self.rows, self._score, ask(self, vectors, k, exclude, allow))

    def _score(self, vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self.rows.products(vectors), rounding(self.width, vectors, self._bound)
