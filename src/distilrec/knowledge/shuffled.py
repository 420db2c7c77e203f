"""The knowledge of a teacher that was asked about somebody else: a control, from which nothing should be learnt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from distilrec.files import sha256_of_arrays, sha256_of_value
from distilrec.knowledge.folder import Knowledge
from distilrec.knowledge.labels import Labels, ListLabels
from distilrec.knowledge.layout import POSITIONS
from distilrec.seeding import generator
from distilrec.types import Batch, FloatArray, IntArray


class ShuffledKnowledge:
    """Every training window is given what the teacher said of another one of the same length.

    Whatever is asked for moves as a whole: soft labels, lists, hidden states, attention. The rows of the item table
    are given to other items too, so that a student which starts from it learns nothing of them; its soft labels keep
    their items, but for the tail of lists: that is even here, as its proportions are right for every window. So what is
    left of the teacher is how sure it is and what it likes on average, and that a student may well profit from a
    little, as from label smoothing. A window that is the only one of its length keeps its own rows; `n_unmoved` says
    how many do.
    """

    def __init__(self, knowledge: Knowledge, *, seed: int) -> None:
        """`seed` decides who is given whose."""
        self._knowledge, self._seed = knowledge, seed
        self._others = others_of_same_length(knowledge.table(POSITIONS), generator(seed, "shuffled windows"))

    @property
    def n_unmoved(self) -> int:
        """How many windows keep their own rows."""
        return int((self._others == np.arange(len(self._others))).sum())

    def digest(self) -> str:
        """Digest of the knowledge and of who is given whose."""
        return sha256_of_value([self._knowledge.digest(), self._seed, sha256_of_arrays({"others": self._others})])

    def check_belongs(self, *, windows_digest: str, n_items: int) -> None:
        """As the knowledge does that is shuffled."""
        self._knowledge.check_belongs(windows_digest=windows_digest, n_items=n_items)

    def item_vectors(self) -> FloatArray | None:
        """The teacher's item table with its rows in another order, [N, D_teacher]."""
        return self._in_another_order(self._knowledge.item_vectors(), "items")

    def user_vectors(self) -> FloatArray | None:
        """The teacher's user vectors in another order, a row a training sequence."""
        return self._in_another_order(self._knowledge.user_vectors(), "users")

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """What the teacher says about as many positions of other windows."""
        return [_with_an_even_tail(part) for part in self._knowledge.soft_labels(self._of_others(batch))]

    def lists(self, batch: Batch) -> ListLabels | None:
        """The best items of as many positions of other windows."""
        found = self._knowledge.lists(self._of_others(batch))
        return None if found is None else replace(found, tail=None)

    @property
    def columns(self) -> Collection[str]:
        """As of the knowledge that is shuffled."""
        return self._knowledge.columns

    def column_width(self, name: str) -> int:
        """As of the knowledge that is shuffled."""
        return self._knowledge.column_width(name)

    def column(self, name: str, batch: Batch) -> np.ndarray[Any, Any]:
        """A column's rows of other windows."""
        return self._knowledge.column(name, self._of_others(batch))

    def _in_another_order(self, table: FloatArray | None, what: str) -> FloatArray | None:
        return None if table is None else table[generator(self._seed, "shuffled", what).permutation(len(table))]

    def _of_others(self, batch: Batch) -> Batch:
        """The lengths are the same, and knowledge on disk looks at the numbers of windows alone."""
        return batch if batch.rows is None else replace(batch, rows=self._others[batch.rows])


def _with_an_even_tail(part: Labels) -> Labels:
    return replace(part, tail=None) if isinstance(part, ListLabels) else part


def others_of_same_length(lengths: IntArray, draw: np.random.Generator) -> IntArray:
    """For each window another one of the same length, each taken once; itself where there is no other, [windows]."""
    others = np.arange(len(lengths))
    order = draw.permutation(len(lengths))
    order = order[np.argsort(lengths[order], kind="stable")]  # alike ones together, else at random
    for same in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        others[same] = np.roll(same, 1)  # in a circle, so none is given itself but a lonely one
    return others
