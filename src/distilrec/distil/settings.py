"""What can be chosen about training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from distilrec.config import Settings
from distilrec.data.augment import AugmentSettings
from distilrec.distil.candidates import CandidateSettings
from distilrec.distil.curriculum import CurriculumSettings
from distilrec.distil.schedules import ScheduledShare, ScheduledTemperature
from distilrec.distil.terms import AnyTerm
from distilrec.distil.terms.ranking import RankingDistillationSettings
from distilrec.distil.trusting import TrustSettings


class TrainSettings(Settings):
    """How a model is trained, with or without a teacher."""

    epochs: int = Field(60, ge=1)
    """At most how many times every training position is seen."""
    patience: int = Field(5, ge=1)
    """Training ends after this many validations in a row without a better one; the best weights are kept."""
    batch_size: int = Field(128, ge=1)
    """Training windows in a batch."""
    learning_rate: float = Field(1e-3, gt=0)
    """Step size of AdamW."""
    body_learning_rate: float | None = Field(None, gt=0)
    """Step size of the weights that were pretrained, where a model has some; none takes `learning_rate`."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay of AdamW."""
    schedule: Literal["constant", "cosine"] = "constant"
    """How the step size goes over all epochs: it stays, or it falls to zero along a cosine."""
    warmup_steps: int = Field(0, ge=0)
    """Batches over which the step size rises from zero."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest length of the gradient; none means no bound."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each hard label that is spread evenly over the catalogue."""
    augment: AugmentSettings | None = None
    """How histories are changed at random while training; none leaves them as they are."""
    candidates: CandidateSettings | None = None
    """For very large catalogues: which items stand for all of them in the loss; none compares with every item."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products; auto takes bfloat16 where the processor has instructions for it."""
    seed: int = Field(0, ge=0)
    """Of the first weights, the order of batches and the dropped units."""
    checkpoint_seconds: float = Field(60.0, ge=0)
    """How often a resumable checkpoint is written within an epoch; one is always written after each epoch."""


_SAYS_WHAT = frozenset({"alpha", "temperature", "losses", "trust", "auxiliary_head"})


class DistilSettings(Settings):
    """How a student listens to its teacher: `L = (1 - alpha) * hard + alpha * soft + sum of weight * loss`.

    Where nothing is said of soft labels and losses, the student learns by relaxed ranking beside hard labels, which was
    best on all data that was tried (docs/distillation.md).
    """

    alpha: ScheduledShare = 0.7
    """Weight of the soft labels over the catalogue; the hard labels get the rest. 0 leaves soft labels out."""
    temperature: ScheduledTemperature = 1.0
    """Softens both sides before they are compared; above 1, unlikely items count for more."""
    losses: tuple[AnyTerm, ...] = ()
    """What else is learnt from the teacher, each with its weight; `kind` says which."""
    trust: TrustSettings | None = None
    """Where the teacher is believed, and where less; none believes it everywhere."""
    auxiliary_head: bool = False
    """Whether soft labels go through a square layer of their own that does not ship, so that what is only the
    teacher's taste need not be in the served scores."""
    curriculum: CurriculumSettings | None = None
    """Which training windows come first; none takes all from the start."""
    layers: dict[str, str] = Field(default_factory=dict)
    """Layers of the student that start as layers of the teacher, by their paths, as in {blocks.0: blocks.1}. The
    teacher is a model of the same kind; where it is wider, its weights are seen along the directions of its items."""
    pull: ScheduledShare = 0.0
    """How far the weights of those layers are drawn towards the teacher's after each step: 1 holds them there."""
    start_from_teacher: bool = True
    """Whether the student's item table starts as the teacher's, reduced to the student's width."""

    @property
    def measures_advantage(self) -> bool:
        """Whether the teacher is held against the student alone before it teaches."""
        return self.trust is not None and self.trust.advantage > 0

    @model_validator(mode="before")
    @classmethod
    def _relaxed_ranking_where_nothing_is_said(cls, given: Any) -> Any:  # noqa: ANN401  (whatever a recipe holds)
        if isinstance(given, Mapping) and _SAYS_WHAT.isdisjoint(given):
            return {**given, "alpha": 0.0, "losses": [{"kind": "relaxed_ranking"}]}
        return given

    @model_validator(mode="after")
    def _importance_is_heard(self) -> Self:
        wanted = self.trust is not None and self.trust.importance > 0
        if wanted and not any(isinstance(loss, RankingDistillationSettings) for loss in self.losses):
            raise ValueError(
                "trust.importance weighs items in the loss ranking_distillation, and losses has none; add "
                "{kind: ranking_distillation}, or set it to 0"
            )
        return self
