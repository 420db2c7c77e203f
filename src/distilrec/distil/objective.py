"""What a training step minimises: `L = L_task + lambda * L_knowledge`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distilrec.data.augment import augment, neighbours_by_similarity
from distilrec.data.batches import Windows
from distilrec.distil.candidates import choose_candidates
from distilrec.distil.losses.catalogue import CatalogueLoss, distillation_loss
from distilrec.distil.losses.sampled import sampled_distillation_loss
from distilrec.distil.moment import Moment, TeacherSide
from distilrec.distil.schedules import value_at
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.distil.terms import Surroundings, Term, make_terms
from distilrec.distil.trusting import RowTrust, TrustSettings
from distilrec.errors import SettingsError, TrainingError
from distilrec.knowledge import KnowledgeSource
from distilrec.mixture.parts import Onto
from distilrec.models.sampled import SampledVectors
from distilrec.models.taps import Tap, tapped
from distilrec.types import Batch, FloatArray, IntArray

_NEIGHBOURS = 20
TOTAL, HARD, SOFT = "loss", "hard", "soft"


@dataclass(frozen=True)
class StepLoss:
    """What one batch costs."""

    total: Tensor
    """Carries gradients."""
    values: Mapping[str, float]
    """`loss`, and what it is made of before weighting: `hard`, `soft`, and each term by its name."""

    @classmethod
    def of(cls, total: Tensor, parts: Mapping[str, Tensor]) -> StepLoss:
        """A loss with its own value among its parts, all read at once: each reading waits for the device."""
        named = {TOTAL: total, **parts}
        values = torch.stack([value.detach().float() for value in named.values()]).tolist()
        return cls(total, dict(zip(named, values, strict=True)))


@dataclass(frozen=True, eq=False)
class _View:
    """What a student made of a batch that it read in some form."""

    batch: Batch
    histories: Tensor  # [P', D]: positions that are learnt from
    items: Tensor  # [N, D]
    taps: Mapping[Tap, Tensor]
    read: IntArray | None  # [P'], which of the real positions of `batch` these are; none means all
    clean: IntArray | None  # [P'], which positions of the clean batch they stand for, ascending; none means the same

    def only(self, chosen: IntArray) -> _View:
        """Some of the positions."""
        read = chosen if self.read is None else self.read[chosen]
        clean = chosen if self.clean is None else self.clean[chosen]
        at = torch.from_numpy(chosen).to(self.histories.device)
        return _View(self.batch, self.histories[at], self.items, self.taps, read, clean)


class Objective(nn.Module):
    """The loss of a student on a batch, with all in it that is learnt beside the student."""

    def __init__(
        self,
        student: nn.Module,
        windows: Windows,
        settings: TrainSettings,
        *,
        knowledge: KnowledgeSource | None = None,
        distil: DistilSettings,
        onto: Onto,
        precision: torch.dtype,
        advantage: FloatArray | None = None,
    ) -> None:
        """Refuses, before anything is trained, what the knowledge lacks and what does not fit together."""
        super().__init__()
        self.settings, self.distil, self.knowledge = settings, distil, knowledge
        self.onto, self.precision = onto, precision
        surroundings = surroundings_of(student, windows, knowledge, distil.trust) if _looks_inside(distil) else None
        self.terms = nn.ModuleDict(make_terms(distil.losses, surroundings) if surroundings else {})
        self.head = _identity(surroundings.width) if surroundings and distil.auxiliary_head else None
        self.trust = None  # in positions; that in items is with their terms
        if distil.trust is not None and distil.trust.by_position:
            self.trust = RowTrust(distil.trust, windows, advantage)
        self.neighbours = self._similar_items()
        self._taps = tuple({tap for term in self._terms().values() for tap in term.taps})
        self._two_views = any(term.two_views for term in self._terms().values())
        if settings.augment is not None and any(tap.kind != "hidden" for tap in self._taps):
            raise SettingsError(
                "losses on attention or relations compare histories pair by pair, so those can't be augmented; leave "
                "out student.train.augment, or such losses"
            )

    def _terms(self) -> dict[str, Term]:
        return {name: term for name, term in self.terms.items() if isinstance(term, Term)}

    def _similar_items(self) -> IntArray | None:
        augmenting = self.settings.augment
        if augmenting is None or not augmenting.needs_neighbours:
            return None
        table = None if self.knowledge is None else self.knowledge.item_vectors()
        if table is None:
            raise SettingsError(
                "augment substitutes or inserts items that the teacher finds similar, and there is no teacher with "
                "item vectors; give one, or set substitute and insert to 0"
            )
        return neighbours_by_similarity(table, k=min(_NEIGHBOURS, len(table) - 1))

    def forward(self, model: nn.Module, student: nn.Module, batch: Batch, *, progress: float, seed: int) -> StepLoss:
        """The loss of one batch.

        Args:
            model: what is called: the student, as it was prepared for the device.
            student: the student itself, whose layers are looked into.
            progress: share of training that is done.
            seed: of this step's draws.
        """
        if batch.targets is None:
            raise TrainingError("a training batch came without targets; take batches from Windows.batch")
        draw = np.random.default_rng(seed)
        view = self._view(model, student, batch, draw)
        if isinstance(view, SampledVectors):
            return self._sampled(view)
        second = None
        if self._two_views:
            other = self._view(model, student, batch, draw)
            assert isinstance(other, _View)  # the same model, so the same form
            view, other = _common(view, other)
            second = other.histories.float()
        teacher = TeacherSide(
            self.knowledge,
            batch,
            n_items=len(view.items),
            onto=self.onto,
            precision=self.precision,
            positions=view.clean,
        )
        targets = batch.targets[batch.mask] if view.clean is None else batch.targets[batch.mask][view.clean]
        moment = Moment(
            batch=view.batch,
            histories=view.histories.float(),
            items=view.items.float(),
            targets=self.onto(targets),
            teacher=teacher,
            progress=progress,
            generator=torch.Generator(device=self.onto.device).manual_seed(seed),
            precision=self.precision,
            taps=view.taps,
            learnt_from=None if view.read is None else self.onto(view.read),
            second_view=second,
        )
        return self._sum(moment)

    def _view(
        self, model: nn.Module, student: nn.Module, batch: Batch, draw: np.random.Generator
    ) -> _View | SampledVectors:
        """The student's reading of a batch, augmented where that is wanted."""
        seen, read, clean = batch, None, None
        if self.settings.augment is not None:
            limit = int(getattr(student, "max_length", batch.items.shape[1]))  # type: ignore[arg-type]
            changed = augment(batch, self.settings.augment, draw, self.neighbours, max_length=limit)
            seen, read = changed.batch, np.flatnonzero(changed.positions >= 0)
            clean = changed.positions[read]
        with (
            tapped(student, self._taps, detach=False, whose="student") as found,
            torch.autocast(self.onto.device.type, torch.bfloat16, enabled=self.precision is torch.bfloat16),
        ):
            vectors = model(seen)
        if isinstance(vectors, SampledVectors):
            return vectors
        histories = vectors[0] if read is None else vectors[0][self.onto(read)]
        return _View(seen, histories, vectors[1], dict(found.caught), read, clean)

    def _sum(self, moment: Moment) -> StepLoss:
        alpha = value_at(self.distil.alpha, moment.progress)
        alpha = alpha if alpha > 0 and moment.teacher.soft_labels() else 0.0
        base = self._base(moment, alpha)
        total, parts = base.total, {HARD: base.hard}
        if alpha > 0:
            parts[SOFT] = base.soft
        weights = {name: value_at(term.settings.weight, moment.progress) for name, term in self._terms().items()}
        heard = {name: term for name, term in self._terms().items() if weights[name] != 0}
        by_position = len(moment.targets) > 0 and any(term.per == "position" for term in heard.values())
        trusted = self.trust.of_positions(moment) if self.trust is not None and by_position else None  # [P]
        for name, term in heard.items():
            values = term(moment)  # [P], or of whatever it compares
            parts[name] = values.detach().mean() if len(values) else values.new_zeros(())
            weighed = values if trusted is None or term.per != "position" else values * trusted
            total = total + weights[name] * (weighed.mean() if len(weighed) else weighed.sum())
        return StepLoss.of(total, parts)

    def _base(self, moment: Moment, alpha: float) -> CatalogueLoss:
        """Hard and soft labels over the whole catalogue."""
        if self.head is None or alpha == 0:
            return self._catalogue(moment, moment.histories, alpha)
        hard = self._catalogue(moment, moment.histories, 0.0)
        aside = self._catalogue(moment, self.head(moment.histories), 1.0)
        return CatalogueLoss((1 - alpha) * hard.total + alpha * aside.total, hard.hard, aside.soft)

    def _catalogue(self, moment: Moment, histories: Tensor, alpha: float) -> CatalogueLoss:
        soft = moment.teacher.soft_labels() if alpha > 0 else []
        options: dict[str, Any] = {
            "soft_labels": soft,
            "alpha": alpha,
            "temperature": value_at(self.distil.temperature, moment.progress),
            "label_smoothing": self.settings.label_smoothing,
            "trust": self.trust.of(moment) if self.trust is not None and soft else None,
            "precision": self.precision,
        }
        if self.settings.candidates is None:
            return distillation_loss(histories, moment.items, moment.targets, **options)
        chosen = choose_candidates(  # the teacher's best items are among them whether or not its labels are learnt
            histories,
            moment.items,
            settings=self.settings.candidates,
            soft_labels=moment.teacher.soft_labels() if self.settings.candidates.teacher_top else (),
            generator=moment.generator,
            precision=self.precision,
        )
        return sampled_distillation_loss(histories, moment.items, moment.targets, candidates=chosen, **options)

    def _sampled(self, vectors: SampledVectors) -> StepLoss:
        if self.knowledge is not None:
            raise TrainingError(
                "this model trains against sampled items, and soft labels are over the whole catalogue; train it "
                "without knowledge"
            )
        loss = distillation_loss(
            vectors.history_vectors.float(),
            vectors.item_vectors.float(),
            vectors.targets,
            label_smoothing=self.settings.label_smoothing,
            precision=self.precision,
        )
        return StepLoss.of(loss.total, {HARD: loss.hard})


def surroundings_of(
    student: nn.Module, windows: Windows, knowledge: KnowledgeSource | None, trust: TrustSettings | None = None
) -> Surroundings:
    """What terms may look at before training."""
    n_items: int = student.n_items  # type: ignore[assignment]  # a model of product form
    with torch.inference_mode():
        width = int(student.item_vectors().shape[1])  # type: ignore[operator]
    counts: IntArray = np.bincount(windows.pieces.values, minlength=n_items)
    probe, importance = windows.batch(np.zeros(1, dtype=np.int64)), trust.importance if trust is not None else 0.0
    return Surroundings(student, knowledge, n_items, width, counts, probe, importance)


def _looks_inside(distil: DistilSettings) -> bool:
    return bool(distil.losses) or distil.auxiliary_head


def _common(one: _View, other: _View) -> tuple[_View, _View]:
    """Both, with the positions alone that both have."""
    if one.clean is None or other.clean is None:
        return one, other
    _, first, second = np.intersect1d(one.clean, other.clean, assume_unique=True, return_indices=True)
    return one.only(first), other.only(second)


def _identity(width: int) -> nn.Linear:
    """A square layer that changes nothing yet."""
    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
