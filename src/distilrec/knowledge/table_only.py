"""A teacher that has item vectors and says nothing: to tell what its table gives from what it says."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from distilrec.errors import KnowledgeError
from distilrec.files import sha256_of_value
from distilrec.knowledge.labels import Labels
from distilrec.knowledge.source import KnowledgeSource
from distilrec.types import Batch, FloatArray


class TableOnly:
    """The item table of a teacher, for a student to start from, and nothing else of it."""

    def __init__(self, knowledge: KnowledgeSource) -> None:
        self._knowledge = knowledge

    def digest(self) -> str:
        """Digest of the teacher, and that it is silent."""
        return sha256_of_value([self._knowledge.digest(), "table only"])

    def check_belongs(self, *, windows_digest: str, n_items: int) -> None:
        """As the teacher does."""
        self._knowledge.check_belongs(windows_digest=windows_digest, n_items=n_items)

    def item_vectors(self) -> FloatArray | None:
        """The teacher's item table, [N, D_teacher]."""
        return self._knowledge.item_vectors()

    def user_vectors(self) -> None:
        """None."""

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """Nothing."""
        return []

    def lists(self, batch: Batch) -> None:
        """None."""

    @property
    def columns(self) -> Collection[str]:
        """None."""
        return ()

    def column_width(self, name: str) -> int:
        """Refused, whichever it is."""
        raise KnowledgeError(f"only the teacher's item table is given, and no column {name}")

    def column(self, name: str, batch: Batch) -> np.ndarray[Any, Any]:
        """Refused, whichever it is."""
        raise KnowledgeError(f"only the teacher's item table is given, and no column {name}")
