"""A term that keeps the teacher's taste for what is popular out of what is learnt."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from distilrec.distil.losses.lists import gather_logits
from distilrec.distil.losses.popularity import grouped_soft_labels, popularity_groups
from distilrec.distil.moment import Moment
from distilrec.distil.terms.term import Surroundings, Term, TermSettings


class PopularityGroupsSettings(TermSettings):
    """The teacher's probabilities within groups of equally popular items (UnKD)."""

    kind: Literal["popularity_groups"]
    """Which loss this is."""
    groups: int = Field(4, ge=2)
    """How many groups, each with about an equal share of all events."""
    top: int = Field(50, ge=1)
    """How many of the teacher's best items are compared, each within its group."""
    drawn: int = Field(100, ge=2)
    """How many random items of each group are compared, drawn anew at each step."""
    temperature: float = Field(1.0, gt=0)
    """Of both sides."""

    @property
    def needs(self) -> frozenset[str]:
        """Soft labels."""
        return frozenset({"soft_labels"})


class PopularityGroups(Term):
    """`grouped_soft_labels` of the teacher's best items and random ones of every group."""

    settings: PopularityGroupsSettings
    groups: Tensor

    def __init__(self, settings: PopularityGroupsSettings, around: Surroundings) -> None:
        super().__init__(settings)
        around.needs_soft_labels()
        groups = torch.from_numpy(popularity_groups(around.item_counts, settings.groups))
        self.register_buffer("groups", groups, persistent=False)  # [N]

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        best = moment.teacher.lists(min(self.settings.top, len(self.groups))).items
        drawn = self._drawn(moment.generator).expand(len(best), -1)
        again = (drawn[:, :, None] == best[:, None, :]).any(dim=2)  # in the list already
        items = torch.cat([best, drawn.masked_fill(again, -1)], dim=1)  # [P, K]
        return grouped_soft_labels(
            gather_logits(moment.histories, moment.items, items),
            moment.teacher.log_shares(items),
            self.groups[items.clamp(min=0)],
            temperature=self.settings.temperature,
            listed=items >= 0,
        )

    def _drawn(self, generator: torch.Generator) -> Tensor:
        """Random items of every group, [at most groups * drawn]."""
        order = torch.rand(len(self.groups), generator=generator, device=generator.device).to(self.groups.device)
        chosen = [torch.nonzero(self.groups == group)[:, 0] for group in range(self.settings.groups)]
        return torch.cat([rows[order[rows].argsort()[: self.settings.drawn]] for rows in chosen])
