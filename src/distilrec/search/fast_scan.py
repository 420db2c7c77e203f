"""A scan of 4-bit codes that finds a shortlist, whose products are then worked out from the rows as they are stored."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from distilrec.errors import ArtifactError
from distilrec.search.best import best_of_all, empty_answer, put_best
from distilrec.search.codes import Codes, FastScan
from distilrec.search.flat import FlatIndex
from distilrec.search.question import Found, Question, ask
from distilrec.search.rows import Rows
from distilrec.search.small_rows import ProjectedRows
from distilrec.storage.form import Array
from distilrec.types import FloatArray, IntArray

_IN_CACHE = 1 << 22  # bytes of codes up to which a code for each column is hardly slower than one for two
_MOST = 8  # a shortlist of more than 1 / 8 of the items is slower than scoring them all


class FastScanIndex(FlatIndex):
    """Finds nearly always what a flat index finds, in a fraction of its time: see docs/search.md for how nearly.

    What is excluded pushes nothing out, and what is not allowed is never scored: the shortlist is longer by as much.
    Where that would make it long, every item is scored.
    """

    def __init__(self, rows: Rows, *, shortlist: int | None = None, codes: Codes | None = None) -> None:
        """Take rows, and their codes where they were kept; otherwise `codes_for` makes them now.

        Raises:
            MissingExtraError: faiss is not installed.
            ArtifactError: there are no rows, or the codes are of another table.
        """
        if not rows.n_items:
            raise ArtifactError("the table has no rows, so there is nothing to scan")
        codes = codes or codes_for(rows)
        if (codes.n_items, codes.width) != (rows.n_items, _thin(rows).width):
            raise ArtifactError(
                f"the codes are of {codes.n_items} items of width {codes.width}; "
                f"the table has {rows.n_items} of width {_thin(rows).width}"
            )
        super().__init__(rows)
        self._scan = FastScan(codes)
        self.shortlist = shortlist or shortlist_for(rows.n_items, codes.books.shape[2])

    @property
    def nbytes(self) -> int:
        """Bytes of rows and codes."""
        return super().nbytes + self._scan.nbytes

    def search(
        self, vectors: FloatArray, k: int, *, exclude: Sequence[IntArray] | None = None, allow: Array | None = None
    ) -> Found:
        """The k best items for each vector; see `ItemIndex`."""
        question = ask(self, vectors, k, exclude, allow)
        wanted = max(self.shortlist, 2 * question.k)
        longest = max((len(items) for items in question.exclude), default=0)
        allowed = self.n_items if question.allow is None else len(question.allow)
        count = (wanted + longest) * self.n_items // max(allowed, 1)
        if count * _MOST > self.n_items:
            return best_of_all(self.rows, self._score, question)
        return self._from_shortlists(question, wanted, count)

    def _from_shortlists(self, question: Question, wanted: int, count: int) -> Found:
        answer = empty_answer(question)
        hidden = None if question.allow is None else np.ones(self.n_items, dtype=np.bool_)
        if hidden is not None:
            hidden[question.allow] = False
        for row, items in enumerate(self._scan.best(self._projected(question.vectors), count)):
            left = items[items >= 0]  # a vector of zeros finds none
            if hidden is not None:
                left = left[~hidden[left]]
            left = _without(left, question.exclude[row])
            if len(left) * 2 >= wanted:
                put_best(answer, row, self.rows, question, left)
            else:  # this vector wants little of what is allowed, or nothing
                whole = best_of_all(self.rows, self._score, question.only(row))
                answer[0][row], answer[1][row] = whole[0][0], whole[1][0]
        return answer

    def _projected(self, vectors: FloatArray) -> FloatArray:
        return self.rows.project(vectors) if isinstance(self.rows, ProjectedRows) else vectors


def codes_for(rows: Rows) -> Codes:
    """A code for each column while all codes stay in the processor's cache, one for two columns beyond.

    Of a projected table the rows within are coded: they are thinner, and vectors meet them projected.
    """
    thin = _thin(rows)
    return Codes.learn(thin, thin.width // 2) if are_learnt(rows) else Codes.grid(thin)


def are_learnt(rows: Rows) -> bool:
    """Whether `codes_for` learns its codes, which takes seconds, or puts them on a grid, which takes no time."""
    thin = _thin(rows)
    return thin.n_items * thin.width // 2 > _IN_CACHE and thin.width % 2 == 0


def _without(items: IntArray, taboo: IntArray) -> IntArray:
    """In a few microseconds for a history of fifty; `np.isin` takes as long as the whole search."""
    if not len(taboo):
        return items
    ordered = np.sort(taboo)
    at = np.minimum(np.searchsorted(ordered, items), len(ordered) - 1)
    left: IntArray = items[ordered[at] != items]
    return left


def _thin(rows: Rows) -> Rows:
    return rows.inner if isinstance(rows, ProjectedRows) else rows


def shortlist_for(n_items: int, columns_a_code: int) -> int:
    """How many items are scored exactly: measured to find 99 in 100 of the ten best (docs/search.md)."""
    root = math.isqrt(n_items)
    return max(64, root if columns_a_code == 1 else root * 3 // 2)
