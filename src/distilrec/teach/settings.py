"""What is taken out of a teacher, and how much memory that may take."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from distilrec.config import Settings
from distilrec.models.taps import Tap


class KnowledgeSettings(Settings):
    """What is taken out of a teacher, in one pass."""

    source: Literal["disk", "live"] = "disk"
    """Whether a student learns from a folder written once, or from the teacher asked for each batch."""
    soft_labels: Literal["whole", "top", "both", "none"] = "top"
    """Logits of the whole catalogue as two factors, the best `top_k` of each position, both (the factors are the soft
    labels, and losses on ranking read the lists), or none at all. A teacher whose scores are no product gives lists in
    any case."""
    top_k: int = Field(300, ge=1)
    """Length of the lists; the whole catalogue where that is shorter."""
    tail: Literal["mean", "even"] = "mean"
    """How items that a list leaves out share what it leaves: as the teacher's do on average over a sample of positions,
    or evenly. For lists alone."""
    hidden: tuple[str, ...] = ()
    """Paths of layers whose hidden states are kept, such as `blocks.0`."""
    attention: tuple[str, ...] = ()
    """Paths of layers whose attention maps are kept."""
    relations: tuple[str, ...] = ()
    """Paths of layers for which it is kept how alike the positions of a window are, such as `blocks.0` for its output
    or `blocks.0.value` for its values."""
    relation_heads: int = Field(1, ge=1)
    """Into how many heads a layer is split for its relations."""
    user_vectors: bool = False
    """Whether a vector for each user, after the whole training history, is kept."""
    folds: int = Field(0, ge=0)
    """For cross-fitting: into how many folds the users are cut, each spoken of by a teacher that was trained on the
    others alone. 0 asks the one teacher about all; from 2 on it costs as many trainings more."""
    dtype: Literal["float16", "float32"] = "float16"
    """Number type on disk."""
    memory_mb: int = Field(512, ge=16)
    """Bound on the memory that extraction itself takes, whatever the number of users."""

    @property
    def taps(self) -> tuple[Tap, ...]:
        """What is looked for inside the teacher."""
        return (
            *(Tap("hidden", path) for path in self.hidden),
            *(Tap("attention", path) for path in self.attention),
            *(Tap.parse(f"relation.{path}", heads=self.relation_heads) for path in self.relations),
        )
