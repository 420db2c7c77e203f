"""Terms that compare vectors: hidden states and history vectors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from distilrec.distil.losses.features import (
    DistillationExperts,
    Projection,
    ProjectionKind,
    annealed_temperature,
    hidden_cosine,
    hidden_mse,
)
from distilrec.distil.moment import Moment
from distilrec.distil.terms.term import Surroundings, Term, TermSettings
from distilrec.models.taps import Tap

HISTORY = "history_vectors"


class BetweenVectors(TermSettings):
    """Which vectors of the teacher and of the student are compared."""

    teacher: str = HISTORY
    """A column of the knowledge: `history_vectors`, or hidden states such as `hidden.blocks.1`."""
    student: str = HISTORY
    """What of the student: its history vectors, or the path of a layer such as `blocks.0`."""

    @property
    def needs(self) -> frozenset[str]:
        """The teacher's column."""
        return frozenset({self.teacher})


class HiddenStatesSettings(BetweenVectors):
    """Hidden states like the teacher's, through a projection (FitNets)."""

    kind: Literal["hidden_states"]
    """Which loss this is."""
    measure: Literal["mse", "cosine"] = "mse"
    """How they are compared."""
    projection: ProjectionKind = "linear"
    """What maps the student's width onto the teacher's; `identity` is for equal widths."""


class DistillationExpertsSettings(BetweenVectors):
    """Hidden states like the teacher's, through several projections of which each row takes one (DE)."""

    kind: Literal["distillation_experts"]
    """Which loss this is."""
    experts: int = Field(5, ge=1)
    """How many projections."""


class TwoVectors(Term):
    """A term that compares a vector of the student's with one of the teacher's at each position."""

    settings: BetweenVectors

    def __init__(self, settings: BetweenVectors, around: Surroundings) -> None:
        super().__init__(settings)
        self.teacher_width = around.column_width(settings.teacher)
        layer = settings.student
        self._tap = None if layer == HISTORY else Tap("hidden", layer)
        self.student_width = around.width if self._tap is None else around.student_width(self._tap)

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The student's layer."""
        return () if self._tap is None else (self._tap,)

    def vectors(self, moment: Moment) -> tuple[Tensor, Tensor]:
        """The student's and the teacher's, [P, H_student] and [P, H_teacher]."""
        student = moment.histories if self._tap is None else moment.hidden(self._tap).float()
        return student, moment.teacher.column(self.settings.teacher)


class HiddenStates(TwoVectors):
    """`hidden_mse` or `hidden_cosine` after a projection."""

    settings: HiddenStatesSettings

    def __init__(self, settings: HiddenStatesSettings, around: Surroundings) -> None:
        super().__init__(settings, around)
        self.projection = Projection(self.student_width, self.teacher_width, kind=settings.projection)

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        student, teacher = self.vectors(moment)
        compare = hidden_mse if self.settings.measure == "mse" else hidden_cosine
        return compare(self.projection(student), teacher)


class Experts(TwoVectors):
    """`hidden_mse` after the experts, whose choice sharpens as training goes on."""

    settings: DistillationExpertsSettings

    def __init__(self, settings: DistillationExpertsSettings, around: Surroundings) -> None:
        super().__init__(settings, around)
        self.experts = DistillationExperts(self.student_width, self.teacher_width, experts=settings.experts)

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        student, teacher = self.vectors(moment)
        temperature = annealed_temperature(moment.progress)
        return hidden_mse(self.experts(student, teacher, temperature=temperature, generator=moment.generator), teacher)
