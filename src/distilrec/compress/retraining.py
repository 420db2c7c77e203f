"""Training a compressed student once more, alone or with its teacher's knowledge, in the forms it is stored in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from distilrec.compress.steps import packed_of, restored
from distilrec.config import Settings
from distilrec.data.batches import Windows
from distilrec.distil.loop import Validate, train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.distil.terms.ranking import RelaxedRankingSettings
from distilrec.errors import SettingsError
from distilrec.files import sha256_of_arrays, sha256_of_value
from distilrec.knowledge import KnowledgeSource
from distilrec.models.kinds import rebuild
from distilrec.models.learnt_forms import learn_in_form, refresh, stored_parts
from distilrec.models.product_form import ProductForm
from distilrec.models.rounding import as_array
from distilrec.models.students import student_kinds
from distilrec.recommender import Recommender
from distilrec.seeding import derive_seed
from distilrec.storage import Alias, Form, Packed
from distilrec.storage.form import Array
from distilrec.teach.teacher import as_teacher
from distilrec.types import FloatArray, Ragged

_TO_ITSELF = DistilSettings(alpha=1.0, losses=(RelaxedRankingSettings(kind="relaxed_ranking"),))


@dataclass(frozen=True, eq=False)
class Retraining:
    """What methods need that train or measure."""

    sequences: Ragged
    """The training sequences, as row numbers of the catalogue."""
    validate: Validate
    """A score of a model on validation, higher is better: `run.stages.validator`."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """How it is trained; its seed is made from this one's."""
    knowledge: KnowledgeSource | Literal["itself"] | None = None
    """A teacher's, of the same sequences; `itself` is the model that is compressed, as it was before; none trains
    without a teacher."""
    distil: DistilSettings | None = None
    """How the student listens to it; to itself, unless told otherwise, by soft labels and the order of its own lists
    (`relaxed_ranking`). What it says of how a student starts has no meaning here."""
    advantage: FloatArray | None = None
    """For `distil.trust.advantage`; `run.advantage` measures it."""
    seed: int = 0
    """Of all that is drawn."""
    quiet: bool = True
    """Whether no progress is shown."""
    checkpoints: Path | None = None
    """A folder where trainings are kept, so that one that was interrupted goes on; none keeps none."""
    first: Recommender | None = None
    """The model that is `itself`: as it was before the first method, which sets it."""


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
    return retrained(restored(recommender, packed_of(recommender), done=settings), needed)


def retrained(
    small: Recommender, training: Retraining | None, *, before: Packed | None = None, reassign: bool = False
) -> Recommender:
    """A recommender that a method made, trained once more where there is something to train with; see `trained`.

    What training found is added to what is told of the method, which is the last.
    """
    if training is None:
        return small
    packed, facts = trained(small, packed_of(small), training, before=before, reassign=reassign)
    *earlier, last = small.about["compressed"]
    model = rebuild(small.model.kind, small.model.settings.model_dump(mode="json"), packed.state())
    about = {**small.about, "compressed": [*earlier, {**last, **facts}]}
    return type(small)(model, small.items, about=about, packed=packed if packed.forms else None)


def wanted_training(recommender: Recommender, settings: Settings, training: Retraining | None) -> Retraining | None:
    """What to train with where the method's `retrain` says so; none where it does not."""
    needs_student(recommender, settings)
    return needs_training(recommender, settings, training) if getattr(settings, "retrain", True) else None


def needs_training(recommender: Recommender, settings: Settings, training: Retraining | None) -> Retraining:
    """What to train with, of a recommender that can be trained.

    Raises:
        SettingsError: one of the two is not so.
    """
    if training is None:
        raise SettingsError(
            f"{_kind(settings)} trains or measures the model, and there is nothing to do so with; give training "
            "sequences and a validation (Retraining)"
        )
    needs_student(recommender, settings)
    return begun_with(training, recommender)


def begun_with(training: Retraining, recommender: Recommender) -> Retraining:
    """The same, knowing the model that it began with."""
    return training if training.first is not None else replace(training, first=recommender)


def _with_teacher(training: Retraining, recommender: Recommender) -> Retraining:
    """The same with a teacher that can be asked, where it is told that the model is to be its own.

    A model that learns what it said itself before it was rounded or pruned is asked for what that took from it and for
    nothing more; labels of the training data would be fitted once more, past the epoch at which the student was best
    (for language models: LLM-QAT, Liu et al. 2023). Both sides have to read alike for that, so no units are dropped
    (function matching, Beyer et al., CVPR 2022).
    """
    if training.knowledge != "itself":
        return training
    first = training.first or recommender
    whole = as_teacher(student_of(first, packed_of(first)))
    return replace(training, knowledge=whole, distil=training.distil or _TO_ITSELF)


def needs_student(recommender: Recommender, settings: Settings) -> None:
    """Refuse what has no network that could be changed and trained here."""
    if recommender.model.kind not in student_kinds():
        raise SettingsError(
            f"{_kind(settings)} is for students ({', '.join(student_kinds())}); a model of kind "
            f"{recommender.model.kind} can be quantised"
        )


def _kind(settings: Settings) -> str:
    return str(getattr(settings, "kind", type(settings).__name__))


def score_of(
    recommender: Recommender, state: Mapping[str, Array], training: Retraining, *, settings: Settings | None = None
) -> float:
    """The validation score of the model with other weights, and another shape where settings are given."""
    model = recommender.model
    shape = (settings or model.settings).model_dump(mode="json")
    network = rebuild(model.kind, shape, state)
    assert isinstance(network, ProductForm)
    return training.validate(network)


def student_of(recommender: Recommender, packed: Packed, *, dropout: bool = True) -> ProductForm:
    """The network of the same kind and shape with what `packed` decodes to, to be changed at will."""
    settings = recommender.model.settings.model_dump(mode="json")
    if not dropout:
        settings |= {name: 0.0 for name in settings if name.endswith("dropout")}
    model = rebuild(recommender.model.kind, settings, packed.state())
    assert isinstance(model, ProductForm)
    return model


def trained(
    recommender: Recommender,
    packed: Packed,
    training: Retraining,
    *,
    before: Packed | None = None,
    reassign: bool = False,
) -> tuple[Packed, dict[str, Any]]:
    """Train what `packed` holds in the forms it holds it in; the best of all epochs and the start, and facts about it.

    Validation sees what the stored parts decode to, and so does every step. Scales are chosen anew after each epoch.

    Args:
        before: the same arrays before they were rounded, which learning goes on from.
        reassign: whether codes of codebooks are found anew after each epoch, instead of kept.
    """
    model = student_of(recommender, packed, dropout=training.knowledge != "itself")
    _share_layers(model, packed)
    for name, form in packed.forms.items():
        if isinstance(form, Alias):
            continue
        owner, leaf = _owner(model, name)
        table = (before or packed).array(name) if reassign else None
        learn_in_form(owner, leaf, form, _plain(name, form, packed, before), latent=table)
    facts = _train(model, _with_teacher(training, recommender), _told(packed, before, reassign))
    return _packed(model, packed), facts


def _plain(name: str, form: Form, packed: Packed, before: Packed | None) -> dict[str, Array]:
    """The parts that learning begins with, rounded as little as is known."""
    if not form.slots:
        return {"values": (before or packed).array(name)}
    held = before.forms.get(name) if before is not None else None
    if before is not None and held is not None and type(held) is type(form):
        return held.unpack(before.parts(name))
    return form.unpack(packed.parts(name))


def _share_layers(model: nn.Module, packed: Packed) -> None:
    """Layers whose arrays are one another's become one layer, so that they stay so."""
    for name, form in packed.forms.items():
        if isinstance(form, Alias):
            path = name.rpartition(".")[0]
            parent, _, last = path.rpartition(".")
            model.get_submodule(parent)._modules[last] = _owner(model, form.of)[0]


def _owner(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return model.get_submodule(path), leaf


def _packed(model: nn.Module, packed: Packed) -> Packed:
    """What the model holds by now, stored as `packed` is."""
    arrays: dict[str, Array] = {}
    for name in packed.names():
        form, (owner, leaf) = packed.forms.get(name), _owner(model, name)
        if form is None:
            arrays[name] = as_array(getattr(owner, leaf))
        elif not isinstance(form, Alias):
            arrays |= {f"{name}/{part}": array for part, array in stored_parts(owner, leaf).items()}
    return Packed(arrays, packed.forms)


def _train(model: ProductForm, training: Retraining, told: str) -> dict[str, Any]:
    """Train in place; what was best at the start stays."""

    def validate(network: nn.Module) -> float:
        refresh(network)
        return training.validate(network)

    assert training.knowledge != "itself", "it has become a teacher that can be asked"
    start, first = validate(model), _copy(model)
    report = train(
        model,
        Windows.cut(training.sequences, max_length=model.max_length),
        validate=validate,
        settings=training.train.with_changes(seed=derive_seed(training.seed, "retraining")),
        knowledge=training.knowledge,
        distil=training.distil if training.knowledge is not None else None,
        advantage=training.advantage,
        checkpoint_path=training.checkpoints / f"{told[:16]}.safetensors" if training.checkpoints else None,
        name="Training again",
        quiet=training.quiet,
    )
    if report.best_score < start:
        model.load_state_dict(first)
    return {"score_before": start, "score_after": max(start, report.best_score), "epochs": len(report.epochs)}


def _told(packed: Packed, before: Packed | None, reassign: bool) -> str:
    """Digest of what a training begins with: the name of its checkpoint."""
    held = [sha256_of_arrays(dict(one.arrays)) for one in (packed, before) if one is not None]
    return sha256_of_value([*held, packed.described(), reassign])


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
