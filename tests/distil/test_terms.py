"""Every term of the loss, in training: it falls, its gradient reaches the student, and it refuses what it lacks."""

import numpy as np
import pytest
import torch

from distilrec.data.batches import Windows
from distilrec.distil.loop import train
from distilrec.distil.objective import Objective
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.distil.terms import term_kinds
from distilrec.errors import DistilRecError, SettingsError
from distilrec.mixture.parts import Onto
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.teach.teacher import as_teacher
from distilrec.types import Ragged

N_ITEMS, LENGTH = 24, 6
WALKS = Ragged.of([[(start + step) % N_ITEMS for step in range(LENGTH)] for start in range(N_ITEMS) for _ in range(4)])
WINDOWS = Windows.cut(WALKS, max_length=LENGTH)
FAST = TrainSettings(epochs=6, batch_size=24, learning_rate=0.01, precision="float32")
TERMS = {
    "logit_mse": {"top": 8, "random": 4},
    "ranking_distillation": {"top": 8, "sampled": 8},
    "relaxed_ranking": {"top": 12, "interesting": 6, "uninteresting": 6},
    "k_plackett": {"top": 12, "k": 4, "rest": 6},
    "margin_ranking": {"top": 6, "rest": 6},
    "collaborative": {"top": 12, "drawn": 8},
    "dual_correction": {"top": 24, "corrected": 6, "side": "both"},
    "rejuvenated": {"top": 6, "closure": 6},
    "popularity_groups": {"groups": 2, "top": 4, "drawn": 6},
    "hidden_states": {"teacher": "hidden.blocks.1", "student": "blocks.0"},
    "distillation_experts": {"experts": 2},
    "attention_transfer": {"teacher": "attention.blocks.1", "student": "blocks.0"},
    "relations": {"teacher": "relation.blocks.1.value", "student": "blocks.0"},
    "relational": {"rows": 16},
    "topology": {"form": "hierarchical", "groups": 3, "rows": 32},
    "item_alignment": {"measure": "contrastive", "items": 16},
    "entropy": {"items": 12},
    "view_consistency": {"items": 12},
}
WITHOUT_TEACHER = {"entropy", "view_consistency"}


def student(width=8):
    torch.manual_seed(1)
    return Transformer(TransformerSettings(width=width, heads=2, max_length=LENGTH, dropout=0.1), N_ITEMS)


@pytest.fixture(scope="module")
def teacher():
    """A larger transformer that knows the walk; live, so that it has whatever column is asked for."""
    torch.manual_seed(0)
    model = Transformer(TransformerSettings(width=16, blocks=2, heads=2, max_length=LENGTH), N_ITEMS)
    train(model, WINDOWS, validate=lambda _: 0.0, settings=FAST.with_changes(epochs=12, patience=12), quiet=True)
    return as_teacher(model)


def objective(model, knowledge, *terms, **options):
    distil = DistilSettings(alpha=0, losses=terms, **options)
    cpu = Onto(torch.device("cpu"))
    return Objective(model, WINDOWS, FAST, knowledge=knowledge, distil=distil, onto=cpu, precision=torch.float32)


def test_every_kind_of_term_is_here():
    assert sorted(TERMS) == term_kinds()


@pytest.mark.parametrize("kind", TERMS)
def test_its_gradient_reaches_the_student(kind, teacher):
    model = student()
    found = objective(model, teacher, {"kind": kind, **TERMS[kind]})
    batch = WINDOWS.batch(np.arange(12))
    model.train()
    found(model, model, batch, progress=0.5, seed=0).total.backward()
    with_term = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    objective(model, teacher)(model, model, batch, progress=0.5, seed=0).total.backward()
    reached = [not torch.equal(a, p.grad) for a, p in zip(with_term, model.parameters(), strict=True)]
    assert any(reached)


def reached(kind, weight, teacher):
    """The term's value over training with some weight beside the hard labels."""
    distil = DistilSettings(
        alpha=0, losses=({"kind": kind, "weight": weight, **TERMS[kind]},), start_from_teacher=False
    )
    report = train(
        student(),
        WINDOWS,
        validate=lambda _: 0.0,
        settings=FAST.with_changes(epochs=8, patience=8),
        knowledge=teacher,
        distil=distil,
        quiet=True,
    )
    return [epoch[kind] for epoch in report.epochs]


@pytest.mark.parametrize("kind", TERMS)
def test_who_learns_from_it_comes_lower_than_who_does_not(kind, teacher):
    """Values of some can't fall to zero, and hard labels move them too; so two students are compared."""
    heard, unheard = reached(kind, 20.0, teacher), reached(kind, 1e-9, teacher)
    assert np.isfinite(heard).all()
    assert min(heard) < min(unheard) or heard[-1] < unheard[-1]
    assert heard[-1] < 0.999 * unheard[-1]


@pytest.mark.parametrize("kind", sorted(TERMS.keys() - WITHOUT_TEACHER))
def test_without_a_teacher_it_is_refused_by_name(kind):
    with pytest.raises(DistilRecError, match=f"the loss {kind}: it learns from a teacher, but no knowledge was given"):
        objective(student(), None, {"kind": kind, **TERMS[kind]})


@pytest.mark.parametrize("kind", sorted(WITHOUT_TEACHER))
def test_regularisers_need_no_teacher(kind):
    model = student()
    found = objective(model, None, {"kind": kind, **TERMS[kind]})
    assert kind in found(model, model, WINDOWS.batch(np.arange(4)), progress=0.0, seed=0).values


def test_the_same_kind_twice_is_two_terms(teacher):
    term = {"kind": "topology", "rows": 8}
    found = objective(student(), teacher, term, {**term, "weight": 2.0})
    assert list(found.terms) == ["topology", "topology_2"]


def test_a_weight_that_falls_to_zero_takes_the_term_out(teacher):
    model = student()
    first_half = {"kind": "step", "start": 1.0, "end": 0.0, "begin": 0.5}
    found = objective(model, teacher, {"kind": "topology", "weight": first_half})
    batch = WINDOWS.batch(np.arange(4))
    assert "topology" in found(model, model, batch, progress=0.4, seed=0).values
    assert "topology" not in found(model, model, batch, progress=0.5, seed=0).values


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (
            {"kind": "hidden_states", "projection": "identity"},
            r"the loss hidden_states: the student's width is 8 and the teacher's 16; choose a projection",
        ),
        (
            {"kind": "hidden_states", "teacher": "hidden.blocks.7"},
            r"the loss hidden_states: the teacher has no layer 'blocks.7'; near it are",
        ),
        (
            {"kind": "hidden_states", "student": "blocks.7"},
            r"the loss hidden_states: the student has no layer 'blocks.7'; near it are",
        ),
        (
            {"kind": "attention_transfer", "teacher": "hidden.blocks.1", "student": "blocks.0"},
            r"it compares attention maps, and hidden.blocks.1 is none; name a column such as attention.blocks.0",
        ),
        ({"kind": "popularity_groups", "groups": 99}, r"groups is 99; expected 2 to the catalogue's 24 items"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(term, message, teacher):
    with pytest.raises(DistilRecError, match=message):
        objective(student(), teacher, term)


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(SettingsError, match=r"unknown kind of loss; known: attention_transfer, collaborative"):
        DistilSettings.with_changes(DistilSettings(), losses=({"kind": "magic"},))
