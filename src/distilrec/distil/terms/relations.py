"""Terms that compare relations: of the positions of a window, and of the rows of a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from distilrec.distil.losses.features import DistillationExperts, annealed_temperature, hidden_mse
from distilrec.distil.losses.relations import attention_transfer, relation_kl
from distilrec.distil.losses.rows import sample_rows
from distilrec.distil.losses.topology import (
    full_topology,
    hierarchical_topology,
    relational_angles,
    relational_distances,
)
from distilrec.distil.moment import Moment
from distilrec.distil.terms.features import BetweenVectors, TwoVectors
from distilrec.distil.terms.term import Surroundings, Term, TermSettings
from distilrec.errors import SettingsError
from distilrec.models.taps import Tap

_ANGLE_ROWS = 32


class BetweenLayers(TermSettings):
    """Which layers are compared."""

    teacher: str
    """A column of the knowledge, such as `attention.blocks.1` or `relation.blocks.1.value`."""
    student: str
    """The path of a layer of the student, such as `blocks.0`."""

    @property
    def needs(self) -> frozenset[str]:
        """The teacher's column."""
        return frozenset({self.teacher})


class AttentionTransferSettings(BetweenLayers):
    """Attention like the teacher's."""

    kind: Literal["attention_transfer"]
    """Which loss this is."""
    measure: Literal["kl", "mse"] = "kl"
    """How maps are compared."""


class RelationsSettings(BetweenLayers):
    """Positions of a window as alike as they are to the teacher (MiniLM)."""

    kind: Literal["relations"]
    """Which loss this is."""


class Pairs(Term):
    """`attention_transfer` or `relation_kl` of one layer of each side."""

    settings: BetweenLayers

    def __init__(self, settings: BetweenLayers, around: Surroundings) -> None:
        super().__init__(settings)
        heads = around.column_width(settings.teacher)
        wanted = "attention" if isinstance(settings, AttentionTransferSettings) else "relation"
        theirs = Tap.parse(settings.teacher, heads=heads)
        if theirs.kind != wanted:
            raise SettingsError(
                f"it compares {wanted} maps, and {settings.teacher} is none; name a column such as {wanted}.blocks.0"
            )
        self._tap = replace(theirs, path=settings.student)
        around.student_width(self._tap)  # refuses a layer that is not there, or that has no such maps

    @property
    def taps(self) -> tuple[Tap, ...]:
        """The student's layer."""
        return (self._tap,)

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        lengths = torch.from_numpy(moment.batch.lengths).to(moment.histories.device)
        student, teacher = moment.shares(self._tap), moment.teacher.pairs(self.settings.teacher)
        if isinstance(self.settings, AttentionTransferSettings):
            return attention_transfer(student, teacher, lengths, kind=self.settings.measure)
        return relation_kl(student, teacher, lengths)


class RelationalSettings(BetweenVectors):
    """Distances and angles between rows like the teacher's (RKD)."""

    kind: Literal["relational"]
    """Which loss this is."""
    distances: float = Field(1.0, ge=0)
    """Weight of the distances."""
    angles: float = Field(2.0, ge=0)
    """Weight of the angles; slow."""
    rows: int = Field(128, ge=3)
    """How many positions of a batch are compared with each other; for angles at most 32, as they cost its cube."""


class TopologySettings(BetweenVectors):
    """Likeness between rows as the teacher has it, of all (FTD) or by groups (HTD)."""

    kind: Literal["topology"]
    """Which loss this is."""
    form: Literal["full", "hierarchical"] = "full"
    """Whether all rows are compared, or those of one group and the groups with each other."""
    groups: int = Field(20, ge=2)
    """How many groups of taste the hierarchical form learns."""
    rows: int = Field(256, ge=2)
    """How many positions of a batch are compared with each other."""


class Relational(TwoVectors):
    """`relational_distances` and `relational_angles`."""

    settings: RelationalSettings
    per: ClassVar[Literal["position", "batch"]] = "batch"

    def forward(self, moment: Moment) -> Tensor:
        """[rows]"""
        (student, teacher), settings = self.vectors(moment), self.settings
        drawn: dict[str, Any] = {"generator": moment.generator}
        total = student.new_zeros(1)
        if settings.distances:
            total = total + settings.distances * _mean(
                relational_distances(student, teacher, at_most=settings.rows, **drawn)
            )
        if settings.angles:
            total = total + settings.angles * _mean(
                relational_angles(student, teacher, at_most=min(settings.rows, _ANGLE_ROWS), **drawn)
            )
        return total


class Topology(TwoVectors):
    """`full_topology`, or `hierarchical_topology` in groups that experts learn along."""

    settings: TopologySettings
    per: ClassVar[Literal["position", "batch"]] = "batch"

    def __init__(self, settings: TopologySettings, around: Surroundings) -> None:
        super().__init__(settings, around)
        learnt = settings.form == "hierarchical"
        self.experts = (
            DistillationExperts(self.student_width, self.teacher_width, experts=settings.groups) if learnt else None
        )

    def forward(self, moment: Moment) -> Tensor:
        """[rows]"""
        (student, teacher), draw = self.vectors(moment), moment.generator
        rows = sample_rows(len(student), self.settings.rows, draw, student.device)
        student, teacher = student[rows], teacher[rows]
        if self.experts is None:
            return full_topology(student, teacher, at_most=len(rows))
        answers = self.experts(student, teacher, temperature=annealed_temperature(moment.progress), generator=draw)
        groups = self.experts.groups(teacher)
        topology = hierarchical_topology(student, teacher, groups, at_most=len(rows))
        return _mean(hidden_mse(answers, teacher)) + topology


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 of nothing, [1]."""
    return (values.mean() if len(values) else values.sum())[None]
