"""All that the training loop knows of a teacher."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np

from distilrec.knowledge.labels import Labels, ListLabels
from distilrec.types import Batch, FloatArray


class KnowledgeSource(Protocol):
    """A teacher's knowledge, on disk or asked for live."""

    def digest(self) -> str:
        """The same for the same teacher only; a training run that was killed goes on with no other."""
        ...

    def check_belongs(self, *, windows_digest: str, n_items: int) -> None:
        """Refuse, with a KnowledgeError, to speak of other training windows or of another catalogue."""
        ...

    def item_vectors(self) -> FloatArray | None:
        """What the teacher holds of each item, for a student's table to start from, [N, D]; None without such."""
        ...

    def user_vectors(self) -> FloatArray | None:
        """What the teacher holds of each training sequence's user, a row a user; None without such."""
        ...

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """What the teacher says about the real positions of a batch: the parts of a mixture."""
        ...

    def lists(self, batch: Batch) -> ListLabels | None:
        """The best items of every real position, where they were kept; None leaves them to be cut from the soft labels.

        They are of the whole mixture. Their log-probabilities are `logits - log_sums`.
        """
        ...

    @property
    def columns(self) -> Collection[str]:
        """Names of what else it can give of each position or pair of positions, such as `hidden.blocks.0`."""
        ...

    def column_width(self, name: str) -> int:
        """How many numbers a row of a column has: a layer's width, or heads. Asked for before training.

        Raises:
            KnowledgeError: there is no such column, and can't be.
            SettingsError: it names a layer that the teacher does not have.
        """
        ...

    def column(self, name: str, batch: Batch) -> np.ndarray[Any, Any]:
        """A column's rows for a batch, in the batch's order: of positions [P, H], or of pairs [pairs, heads]."""
        ...
