"""Terms that hold a student's answers in shape."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from distilrec.distil.losses.lists import gather_logits, top_items
from distilrec.distil.losses.regularisers import entropy_regulariser, view_consistency, view_consistency_contrastive
from distilrec.distil.losses.rows import sample_rows
from distilrec.distil.losses.trust import entropy
from distilrec.distil.moment import Moment
from distilrec.distil.terms.term import Surroundings, Term, TermSettings
from distilrec.errors import SettingsError


class EntropySettings(TermSettings):
    """How sure the student is, beside how sure it should be."""

    kind: Literal["entropy"]
    """Which loss this is."""
    towards: Literal["even", "teacher"] = "even"
    """Whether being sure is punished, or being less or more sure than the teacher."""
    items: int = Field(200, ge=2)
    """How many items the entropy is over: the teacher's best, or random ones where there is none."""
    temperature: float = Field(1.0, gt=0)
    """Of the student."""

    @property
    def needs(self) -> frozenset[str]:
        """Soft labels, where there is a teacher to be like."""
        return frozenset({"soft_labels"} if self.towards == "teacher" else ())


class ViewConsistencySettings(TermSettings):
    """Two views of a history, by augmentation or by other dropped units, shall say the same."""

    kind: Literal["view_consistency"]
    """Which loss this is."""
    measure: Literal["answers", "contrastive"] = "answers"
    """Whether probabilities are compared, or a history's vector shall find its other view."""
    items: int = Field(100, ge=2)
    """How many items answers are compared on: half the student's best, half random."""
    temperature: float = Field(0.1, gt=0)
    """Of the contrastive form."""
    rows: int = Field(512, ge=2)
    """How many positions of a batch the contrastive form compares."""


class Entropy(Term):
    """`entropy_regulariser` on lists."""

    settings: EntropySettings

    def __init__(self, settings: EntropySettings, around: Surroundings) -> None:
        super().__init__(settings)
        self.knows_teacher = around.knowledge is not None
        if settings.towards == "teacher":
            around.needs_soft_labels()
        self.n_drawn = min(settings.items, around.n_items)

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        wanted, count = None, len(moment.histories)
        if self.settings.towards == "teacher":
            lists = moment.teacher.lists(self.n_drawn)
            items, known = lists.items, lists.logits.float().masked_fill(lists.items < 0, float("-inf"))
            wanted = entropy(torch.softmax(known, dim=1).nan_to_num(0.0))
        else:
            drawn = sample_rows(len(moment.items), self.n_drawn, moment.generator, moment.items.device)
            items = drawn.expand(count, -1)
        scored = gather_logits(moment.histories, moment.items, items)
        return entropy_regulariser(
            scored, teacher_entropy=wanted, temperature=self.settings.temperature, listed=items >= 0
        )


class ViewConsistency(Term):
    """`view_consistency` or `view_consistency_contrastive`; the student reads every batch twice."""

    settings: ViewConsistencySettings
    two_views: ClassVar[bool] = True
    per: ClassVar[Literal["position", "batch"]] = "batch"

    def __init__(self, settings: ViewConsistencySettings, around: Surroundings) -> None:
        super().__init__(settings)
        self.n_items = around.n_items

    def forward(self, moment: Moment) -> Tensor:
        """[P], or [rows]"""
        second = moment.second_view
        if second is None:
            raise SettingsError("two views are compared, and the student read the batch once")
        if self.settings.measure == "contrastive":
            return view_consistency_contrastive(
                moment.histories,
                second,
                temperature=self.settings.temperature,
                owners=_owners(moment),
                at_most=self.settings.rows,
                generator=moment.generator,
            )
        half = max(1, min(self.settings.items, self.n_items) // 2)
        best = top_items(moment.histories, moment.items, half)  # [P, half]
        drawn = sample_rows(self.n_items, half, moment.generator, best.device).expand(len(best), -1)
        both = [torch.cat([best, drawn], dim=1)] * 2
        first, other = (
            gather_logits(vectors, moment.items, items)
            for vectors, items in zip((moment.histories, second), both, strict=True)
        )
        return view_consistency(first, other)


def _owners(moment: Moment) -> Tensor:
    """Which window each position is of, [P]: positions of one history are not pushed apart."""
    lengths = torch.from_numpy(moment.batch.lengths)
    owners = torch.repeat_interleave(torch.arange(len(lengths)), lengths).to(moment.histories.device)
    return owners if moment.learnt_from is None else owners[moment.learnt_from]
