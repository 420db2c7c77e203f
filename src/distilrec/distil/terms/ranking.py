"""Terms on the order of items: the teacher's best ones, and those that the student has wrong."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from distilrec.distil.losses.correction import ScoredList, dual_correction, rejuvenated_cross_entropy
from distilrec.distil.losses.draws import sample_closure, sample_interesting, sample_uninteresting
from distilrec.distil.losses.lists import gather_logits, top_items
from distilrec.distil.losses.ranking import (
    collaborative_distillation,
    estimated_ranks,
    in_teachers_order,
    k_plackett,
    margin_ranking,
    ranking_distillation,
    relaxed_ranking,
)
from distilrec.distil.losses.regularisers import logit_mse
from distilrec.distil.losses.trust import importance_weights
from distilrec.distil.moment import Moment
from distilrec.distil.terms.term import Surroundings, Term, TermSettings

_ITEM_SIDE = 128


class OnLists(TermSettings):
    """Terms that look at the best items of the teacher."""

    top: int = Field(50, ge=1)
    """How many of the teacher's best items are looked at; the whole catalogue where that is smaller."""

    @property
    def needs(self) -> frozenset[str]:
        """Soft labels, of which lists are cut."""
        return frozenset({"soft_labels"})


class RankingDistillationSettings(OnLists):
    """Each of the teacher's best items is a positive (RD)."""

    kind: Literal["ranking_distillation"]
    """Which loss this is."""
    top: int = Field(10, ge=1)
    """How many of the teacher's best items are positives."""
    decay: float = Field(10.0, gt=0)
    """Over how many ranks an item's weight falls to a third."""
    sampled: int = Field(200, ge=0)
    """How many random items tell the student's ranks; 0 leaves ranks out."""


class RelaxedRankingSettings(OnLists):
    """The teacher's order of drawn items, all above uninteresting ones (RRD)."""

    kind: Literal["relaxed_ranking"]
    """Which loss this is."""
    top: int = Field(50, ge=1)
    """How many of the teacher's best items are looked at; at most half of the catalogue, so that others are left."""
    interesting: int = Field(20, ge=1)
    """How many of the best are drawn at each step, by rank."""
    uninteresting: int = Field(100, ge=1)
    """How many others stand below them."""
    temperature: float = Field(10.0, gt=0)
    """In ranks: the higher, the more evenly the best are drawn."""


class KPlackettSettings(OnLists):
    """The teacher's first items in its own order, ties as ties (RankDistil)."""

    kind: Literal["k_plackett"]
    """Which loss this is."""
    k: int = Field(10, ge=1)
    """How many items are ordered; the others of the list stand below them."""
    rest: int = Field(100, ge=0)
    """How many random items stand below all of them."""
    temperature: float = Field(1.0, gt=0)
    """Of the teacher."""


class MarginRankingSettings(OnLists):
    """The teacher's order with a margin between neighbours (RankDistil with a hinge)."""

    kind: Literal["margin_ranking"]
    """Which loss this is."""
    top: int = Field(10, ge=1)
    """How many of the teacher's best items are ordered."""
    rest: int = Field(100, ge=1)
    """How many random items stand below them."""
    margin: float = Field(0.2, gt=0)
    """Between two scores."""


class CollaborativeSettings(OnLists):
    """The teacher's probability of single items, yes or no (CD)."""

    kind: Literal["collaborative"]
    """Which loss this is."""
    drawn: int = Field(20, ge=1)
    """How many of the best are drawn at each step, by rank."""
    temperature: float = Field(1.0, gt=0)
    """Of the teacher."""
    offset: float | None = None
    """Added to the teacher's log-probabilities; none takes log N, so that an item as good as the mean is at 1/2."""


class DualCorrectionSettings(OnLists):
    """What the student ranks too low above what it ranks too high (DCD)."""

    kind: Literal["dual_correction"]
    """Which loss this is."""
    top: int = Field(100, ge=2)
    """How many of the teacher's best items are looked at; long lists let more be overestimated."""
    corrected: int = Field(10, ge=1)
    """How many items of each kind are drawn."""
    side: Literal["items", "users", "both"] = "items"
    """Whether it corrects which items a history ranks high, which histories an item does, or both."""


class RejuvenatedSettings(OnLists):
    """The teacher's probabilities over the student's own best items, and what it misses of the teacher's (RCE-KD)."""

    kind: Literal["rejuvenated"]
    """Which loss this is."""
    closure: int = Field(50, ge=1)
    """How many items of the student's ranking are drawn to close what it misses."""
    temperature: float = Field(1.0, gt=0)
    """Of both sides."""


class LogitMSESettings(OnLists):
    """The teacher's logits themselves, on its best items and random ones."""

    kind: Literal["logit_mse"]
    """Which loss this is."""
    random: int = Field(50, ge=0)
    """How many random items are looked at, too."""


class ListTerm(Term):
    """A term that begins with the teacher's lists."""

    settings: OnLists

    def __init__(self, settings: OnLists, around: Surroundings) -> None:
        super().__init__(settings)
        around.needs_soft_labels()
        self.n_items = around.n_items

    @property
    def longest(self) -> int:
        """How long lists may be."""
        return self.n_items

    def best(self, moment: Moment) -> tuple[Tensor, Tensor, Tensor]:
        """The teacher's best items, their logits, and which are real: [P, K] each."""
        lists = moment.teacher.lists(min(self.settings.top, self.longest))
        return lists.items, lists.logits.float(), lists.items >= 0

    def random(self, moment: Moment, items: Tensor, n: int) -> Tensor:
        """Items that are not in the lists, [P, n], -1 where one was drawn that is."""
        return sample_uninteresting(items, self.n_items, n, generator=moment.generator)

    def scored(self, moment: Moment, items: Tensor) -> Tensor:
        """The student's scores of items, [P, K]."""
        return gather_logits(moment.histories, moment.items, items)


class RankingDistillation(ListTerm):
    """`ranking_distillation`."""

    settings: RankingDistillationSettings

    def __init__(self, settings: RankingDistillationSettings, around: Surroundings) -> None:
        super().__init__(settings, around)
        self.importance = around.importance

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        items, logits, listed = self.best(moment)
        student, ranks = self.scored(moment, items), None
        if self.settings.sampled:
            others = self.random(moment, items, self.settings.sampled).clamp(min=0)
            ranks = estimated_ranks(student, self.scored(moment, others), self.n_items)
        return ranking_distillation(
            student,
            listed=listed,
            student_ranks=ranks,
            importance=self._importance(moment, items, logits, listed) if self.importance else None,
            decay=self.settings.decay,
        )

    def _importance(self, moment: Moment, items: Tensor, logits: Tensor, listed: Tensor) -> Tensor:
        """How much each of the teacher's best items counts, beside as many of the student's own best, [P, K]."""
        shares = logits.masked_fill(~listed, float("-inf")).softmax(dim=1).nan_to_num(0.0)  # of an empty list none
        own = top_items(moment.histories, moment.items, items.shape[1])
        return importance_weights(items, shares, own) ** self.importance


class RelaxedRanking(ListTerm):
    """`relaxed_ranking` of drawn items."""

    settings: RelaxedRankingSettings

    @property
    def longest(self) -> int:
        """Half of the catalogue: others have to stand below."""
        return max(1, self.n_items // 2)

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        items, _, listed = self.best(moment)
        settings, draw = self.settings, moment.generator
        columns = sample_interesting(
            listed, min(settings.interesting, items.shape[1]), temperature=settings.temperature, generator=draw
        )
        chosen = items.gather(1, columns.clamp(min=0)).masked_fill(columns < 0, -1)
        others = self.random(moment, items, settings.uninteresting)
        return relaxed_ranking(
            self.scored(moment, chosen),
            self.scored(moment, others),
            listed=chosen >= 0,
            uninteresting_listed=others >= 0,
        )


class KPlackett(ListTerm):
    """`k_plackett`."""

    settings: KPlackettSettings

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        items, logits, listed = self.best(moment)
        rest = None
        if self.settings.rest:
            rest = self.scored(moment, self.random(moment, items, self.settings.rest).clamp(min=0))
        return k_plackett(
            self.scored(moment, items),
            logits,
            k=self.settings.k,
            rest_logits=rest,
            listed=listed,
            temperature=self.settings.temperature,
            generator=moment.generator,
        )


class MarginRanking(ListTerm):
    """`margin_ranking`."""

    settings: MarginRankingSettings

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        items, _, listed = self.best(moment)
        rest = self.scored(moment, self.random(moment, items, self.settings.rest).clamp(min=0))
        return margin_ranking(self.scored(moment, items), rest, listed=listed, margin=self.settings.margin)


class Collaborative(ListTerm):
    """`collaborative_distillation` of drawn items and as many random ones."""

    settings: CollaborativeSettings

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        items, logits, listed = self.best(moment)
        drawn = min(self.settings.drawn, items.shape[1])
        columns = sample_interesting(listed, drawn, generator=moment.generator)
        at = columns.clamp(min=0)
        chosen, known = items.gather(1, at).masked_fill(columns < 0, -1), logits.gather(1, at)
        offset = math.log(self.n_items) if self.settings.offset is None else self.settings.offset
        return collaborative_distillation(
            self.scored(moment, chosen),
            known,
            listed=chosen >= 0,
            temperature=self.settings.temperature,
            offset=offset,
        )


class DualCorrection(ListTerm):
    """`dual_correction` of the items of each position, of the positions of each item, or both."""

    settings: DualCorrectionSettings

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        side, found = self.settings.side, moment.histories.new_zeros(len(moment.histories))
        if side != "users":
            items, _, listed = self.best(moment)
            found = found + self._corrected(moment, self.scored(moment, items), None, listed)
        if side != "items":
            found = found + self._of_items(moment).mean()
        return found

    def _of_items(self, moment: Moment) -> Tensor:
        """For some of the items that came next, which positions of the batch rank them high: [S]."""
        chosen: Tensor = torch.unique(moment.targets)[:_ITEM_SIDE]  # [S]
        every = chosen[None, :].expand(len(moment.histories), -1)  # [P, S]
        student = (moment.histories @ moment.items[chosen].T).T  # [S, P]
        return self._corrected(moment, student, moment.teacher.log_shares(every).T, None)

    def _corrected(self, moment: Moment, student: Tensor, teacher: Tensor | None, listed: Tensor | None) -> Tensor:
        if teacher is not None:
            student, listed = in_teachers_order(student, teacher)
        return dual_correction(student, generator=moment.generator, n_corrected=self.settings.corrected, listed=listed)


class Rejuvenated(ListTerm):
    """`rejuvenated_cross_entropy`."""

    settings: RejuvenatedSettings

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        items, logits, _ = self.best(moment)
        deep = top_items(moment.histories, moment.items, min(4 * items.shape[1], self.n_items))
        own = deep[:, : items.shape[1]]
        closure = sample_closure(deep, items, self.settings.closure, generator=moment.generator)
        known = moment.teacher.log_shares
        lists = [
            ScoredList(items, self.scored(moment, items), logits),
            *(ScoredList(chosen, self.scored(moment, chosen), known(chosen)) for chosen in (own, closure)),
        ]
        return rejuvenated_cross_entropy(*lists, temperature=self.settings.temperature)


class LogitMSE(ListTerm):
    """`logit_mse` over the teacher's best items and random ones."""

    settings: LogitMSESettings

    def forward(self, moment: Moment) -> Tensor:
        """[P]"""
        items, _, _ = self.best(moment)
        if self.settings.random:
            items = torch.cat([items, self.random(moment, items, self.settings.random)], dim=1)
        return logit_mse(self.scored(moment, items), moment.teacher.log_shares(items), listed=items >= 0)
