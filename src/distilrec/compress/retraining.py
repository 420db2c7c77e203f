"""Training a compressed student once more, alone or with its teacher's knowledge, in the forms it is stored in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from distilrec.compress.steps import packed_of, restored
from distilrec.config import Settings
from distilrec.data.batches import Windows
from distilrec.distil.loop import Validate, train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import SettingsError
from distilrec.knowledge import KnowledgeSource
from distilrec.models.kinds import rebuild
from distilrec.models.product_form import ProductForm
from distilrec.models.students import student_kinds
from distilrec.recommender import Recommender
from distilrec.seeding import derive_seed
from distilrec.storage import Packed
from distilrec.types import FloatArray, Ragged


@dataclass(frozen=True, eq=False)
class Retraining:
    """What methods need that train or measure."""

    sequences: Ragged
    """The training sequences, as row numbers of the catalogue."""
    validate: Validate
    """A score of a model on validation, higher is better: `run.stages.validator`."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """How it is trained; its seed is made from this one's."""
    knowledge: KnowledgeSource | None = None
    """A teacher's, of the same sequences; none trains without a teacher."""
    distil: DistilSettings | None = None
    """How the student listens to it. What it says of how a student starts has no meaning here."""
    advantage: FloatArray | None = None
    """For `distil.trust.advantage`; `run.advantage` measures it."""
    seed: int = 0
    """Of all that is drawn."""
    quiet: bool = True
    """Whether no progress is shown."""
    checkpoints: Path | None = None
    """A folder where trainings are kept, so that one that was interrupted goes on; none keeps none."""


class Retrain(Settings):
    """Train the student as it is now once more: after methods that were told not to."""

    kind: Literal["retrain"] = "retrain"
    """Its name."""


def retrain(recommender: Recommender, settings: Retrain, training: Retraining | None) -> Recommender:
    """The recommender with better weights, in the same forms and as many bytes.

    Raises:
        SettingsError: there is nothing to train with, or it is not a student.
    """
    needed = needs_training(recommender, settings, training)
    packed, facts = trained(recommender, packed_of(recommender), needed)
    return restored(recommender, packed, done=settings, facts=facts)


def needs_training(recommender: Recommender, settings: Settings, training: Retraining | None) -> Retraining:
    """What to train with, of a recommender that can be trained.

    Raises:
        SettingsError: one of the two is not so.
    """
    kind = getattr(settings, "kind", type(settings).__name__)
    if training is None:
        raise SettingsError(
            f"{kind} trains or measures the model, and there is nothing to do so with; give training sequences and a "
            "validation (Retraining)"
        )
    if recommender.model.kind not in student_kinds():
        raise SettingsError(
            f"{kind} is for students ({', '.join(student_kinds())}); a model of kind {recommender.model.kind} can be "
            "quantised"
        )
    return training


def student_of(recommender: Recommender, packed: Packed) -> ProductForm:
    """The network of the same kind and shape with what `packed` decodes to, to be changed at will."""
    model = rebuild(recommender.model.kind, recommender.model.settings.model_dump(mode="json"), packed.state())
    assert isinstance(model, ProductForm)
    return model


def trained(recommender: Recommender, packed: Packed, training: Retraining) -> tuple[Packed, dict[str, Any]]:
    """Train what `packed` holds; the best of all epochs and the start, and facts about it."""
    if packed.forms:
        raise SettingsError("retrain: arrays that are stored in forms are not trained yet")
    model = student_of(recommender, packed)
    facts = _train(model, training, training.validate)
    return Packed.of(model.state()), facts


def _train(model: ProductForm, training: Retraining, validate: Validate) -> dict[str, Any]:
    """Train in place; what was best at the start stays."""
    start, before = validate(model), _copy(model)
    seed = derive_seed(training.seed, "retraining")
    report = train(
        model,
        Windows.cut(training.sequences, max_length=model.max_length),
        validate=validate,
        settings=training.train.with_changes(seed=seed),
        knowledge=training.knowledge,
        distil=training.distil if training.knowledge is not None else None,
        advantage=training.advantage,
        name="Training again",
        quiet=training.quiet,
    )
    if report.best_score < start:
        model.load_state_dict(before)
    return {"score_before": start, "score_after": max(start, report.best_score), "epochs": len(report.epochs)}


def _copy(model: nn.Module) -> Mapping[str, Tensor]:
    with torch.no_grad():
        return {name: value.clone() for name, value in model.state_dict().items()}
