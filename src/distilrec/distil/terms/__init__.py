"""The terms of a loss beside hard and soft labels: each a file's few lines between settings and a pure function.

To add one, see CONTRIBUTING ("add a loss in four steps"): its settings and its term are named in `_KINDS` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from distilrec.config import tag_by_kind
from distilrec.distil.terms.embeddings import ItemAlignment, ItemAlignmentSettings
from distilrec.distil.terms.features import DistillationExpertsSettings, Experts, HiddenStates, HiddenStatesSettings
from distilrec.distil.terms.popularity_groups import PopularityGroups, PopularityGroupsSettings
from distilrec.distil.terms.ranking import (
    Collaborative,
    CollaborativeSettings,
    DualCorrection,
    DualCorrectionSettings,
    KPlackett,
    KPlackettSettings,
    LogitMSE,
    LogitMSESettings,
    MarginRanking,
    MarginRankingSettings,
    RankingDistillation,
    RankingDistillationSettings,
    Rejuvenated,
    RejuvenatedSettings,
    RelaxedRanking,
    RelaxedRankingSettings,
)
from distilrec.distil.terms.regularisers import Entropy, EntropySettings, ViewConsistency, ViewConsistencySettings
from distilrec.distil.terms.relations import (
    AttentionTransferSettings,
    Pairs,
    Relational,
    RelationalSettings,
    RelationsSettings,
    Topology,
    TopologySettings,
)
from distilrec.distil.terms.term import Surroundings, Term, TermSettings
from distilrec.errors import DistilRecError

__all__ = ["AnyTerm", "Surroundings", "Term", "TermSettings", "make_terms", "term_kinds"]

_KINDS: Mapping[type[TermSettings], Callable[[Any, Surroundings], Term]] = {
    LogitMSESettings: LogitMSE,
    RankingDistillationSettings: RankingDistillation,
    RelaxedRankingSettings: RelaxedRanking,
    KPlackettSettings: KPlackett,
    MarginRankingSettings: MarginRanking,
    CollaborativeSettings: Collaborative,
    DualCorrectionSettings: DualCorrection,
    RejuvenatedSettings: Rejuvenated,
    PopularityGroupsSettings: PopularityGroups,
    HiddenStatesSettings: HiddenStates,
    DistillationExpertsSettings: Experts,
    AttentionTransferSettings: Pairs,
    RelationsSettings: Pairs,
    RelationalSettings: Relational,
    TopologySettings: Topology,
    ItemAlignmentSettings: ItemAlignment,
    EntropySettings: Entropy,
    ViewConsistencySettings: ViewConsistency,
}


def _kind_of(settings: type[TermSettings]) -> str:
    """What a recipe calls it."""
    kind: str = settings.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]  # a Literal
    return kind


_NAMES = {_kind_of(settings): settings for settings in _KINDS}


if TYPE_CHECKING:
    AnyTerm = TermSettings
else:
    AnyTerm = Annotated[
        reduce(or_, (Annotated[settings, Tag(f"<{name}>")] for name, settings in _NAMES.items())),
        Discriminator(
            tag_by_kind(),
            custom_error_type="unknown_kind",
            custom_error_message=f"unknown kind of loss; known: {', '.join(sorted(_NAMES))}",
        ),
    ]
"""The settings of a term in a recipe; `kind` says which."""


def term_kinds() -> list[str]:
    """The names of all kinds."""
    return sorted(_NAMES)


def make_terms(chosen: Sequence[TermSettings], around: Surroundings) -> dict[str, Term]:
    """The terms by name: their kind, numbered where one is used again.

    Raises:
        DistilRecError: a term can't learn from this knowledge or with this student; the message says which and why.
    """
    terms: dict[str, Term] = {}
    for number, settings in enumerate(chosen):
        kind = _kind_of(type(settings))
        before = sum(type(other) is type(settings) for other in chosen[:number])
        try:
            term = _KINDS[type(settings)](settings, around)
        except DistilRecError as error:
            raise type(error)(f"the loss {kind}: {error}") from None
        terms[f"{kind}_{before + 1}" if before else kind] = term
    return terms
