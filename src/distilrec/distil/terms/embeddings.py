"""A term on item vectors."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from distilrec.distil.losses.embeddings import item_alignment_contrastive, item_alignment_cosine
from distilrec.distil.losses.features import Projection, ProjectionKind
from distilrec.distil.losses.rows import sample_rows
from distilrec.distil.moment import Moment
from distilrec.distil.terms.term import Surroundings, Term, TermSettings


class ItemAlignmentSettings(TermSettings):
    """Item vectors like the teacher's."""

    kind: Literal["item_alignment"]
    """Which loss this is."""
    measure: Literal["cosine", "contrastive"] = "cosine"
    """Whether an item's two vectors shall point one way, or find each other among those of other items."""
    projection: ProjectionKind = "linear"
    """What maps the student's width onto the teacher's; `identity` is for equal widths."""
    items: int = Field(1024, ge=2)
    """How many items are drawn at each step."""
    temperature: float = Field(0.1, gt=0)
    """Of the contrastive form."""

    @property
    def needs(self) -> frozenset[str]:
        """The teacher's item table."""
        return frozenset({"item_vectors"})


class ItemAlignment(Term):
    """`item_alignment_cosine` or `item_alignment_contrastive` of drawn items."""

    settings: ItemAlignmentSettings
    per: ClassVar[Literal["position", "batch"]] = "batch"

    def __init__(self, settings: ItemAlignmentSettings, around: Surroundings) -> None:
        super().__init__(settings)
        self.projection = Projection(around.width, around.table().shape[1], kind=settings.projection)

    def forward(self, moment: Moment) -> Tensor:
        """[items drawn]"""
        rows = sample_rows(len(moment.items), self.settings.items, moment.generator, moment.items.device)
        student, teacher = self.projection(moment.items[rows]), moment.teacher.item_vectors()[rows]
        if self.settings.measure == "cosine":
            return item_alignment_cosine(student, teacher)
        return item_alignment_contrastive(student, teacher, temperature=self.settings.temperature)
