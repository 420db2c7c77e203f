"""What a term of the loss is: one way to learn from a teacher, weighted beside the task's own loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from distilrec.config import Settings
from distilrec.distil.moment import Moment
from distilrec.distil.schedules import ScheduledWeight
from distilrec.errors import KnowledgeError, SettingsError
from distilrec.knowledge import KnowledgeSource
from distilrec.models.taps import Tap, tapped
from distilrec.types import Batch, FloatArray, IntArray


class TermSettings(Settings):
    """What every term has."""

    weight: ScheduledWeight = 1.0
    """Its weight, lambda, beside the task's loss; a number, or a schedule over training."""

    @property
    def needs(self) -> frozenset[str]:
        """What it needs of a teacher: `soft_labels`, `item_vectors`, or columns by their names.

        A recipe is held against it before the teacher is trained.
        """
        return frozenset()


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a term may look at before training: it refuses here what would fail, or mean nothing, hours later."""

    student: nn.Module
    knowledge: KnowledgeSource | None
    n_items: int
    width: int
    """Of the student's history and item vectors, D."""
    item_counts: IntArray
    """How often each item is used in training, [N]."""
    probe: Batch
    """A training window, to try things on."""
    importance: float = 0.0
    """`trust.importance`: the power of how much each item of a list counts."""

    def teacher(self) -> KnowledgeSource:
        """The knowledge, for a term that needs some."""
        if self.knowledge is None:
            raise SettingsError("it learns from a teacher, but no knowledge was given")
        return self.knowledge

    def column_width(self, name: str) -> int:
        """How wide a column of the teacher is; one that it lacks is refused."""
        return self.teacher().column_width(name)

    def student_width(self, tap: Tap) -> int:
        """How wide a layer of the student is, or how many heads its maps have; one that it lacks is refused."""
        with torch.inference_mode(), tapped(self.student, [tap], whose="student") as found:
            self.student(self.probe)
        return int(found.caught[tap].shape[-1 if tap.kind == "hidden" else 1])

    def table(self) -> FloatArray:
        """The teacher's item table, [N, D_teacher]."""
        table = self.teacher().item_vectors()
        if table is None:
            raise KnowledgeError("it needs the teacher's item vectors, and this teacher has none")
        if len(table) != self.n_items:
            raise KnowledgeError(f"the teacher has vectors of {len(table)} items; the catalogue has {self.n_items}")
        return table

    def needs_soft_labels(self) -> None:
        """Refuses a teacher that says nothing of the catalogue."""
        if not self.teacher().soft_labels(self.probe):
            raise KnowledgeError("it needs the teacher's soft labels or lists, and this knowledge has none")


class Term(nn.Module):
    """One knowledge term in training; what it learns itself (a projection, say) trains along and does not ship."""

    per: ClassVar[Literal["position", "batch"]] = "position"
    """Whether it gives a number for each position, [P], which trust can weigh, or some other number of them."""
    two_views: ClassVar[bool] = False
    """Whether the student is to read every batch twice."""

    def __init__(self, settings: TermSettings) -> None:
        super().__init__()
        self.settings = settings

    @property
    def taps(self) -> tuple[Tap, ...]:
        """What it wants from inside the student."""
        return ()

    def forward(self, moment: Moment) -> Tensor:
        """The loss, a number a position, [P], or of each of whatever it compares."""
        raise NotImplementedError
