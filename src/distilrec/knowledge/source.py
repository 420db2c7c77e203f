"""All that the training loop knows of a teacher."""

from __future__ import annotations

from typing import Protocol

from distilrec.knowledge.labels import Labels
from distilrec.types import Batch, FloatArray


class KnowledgeSource(Protocol):
    """A teacher's knowledge, on disk or asked for live."""

    def digest(self) -> str:
        """The same for the same teacher only; a training run that was killed goes on with no other."""
        ...

    def item_vectors(self) -> FloatArray | None:
        """What the teacher holds of each item, for a student's table to start from, [N, D]; None without such."""
        ...

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """What the teacher says about the real positions of a batch: the parts of a mixture."""
        ...
