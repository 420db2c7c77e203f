"""What a loss needs and the teacher will not give is refused before the teacher is trained, with what to add."""

import pytest
import torch
import yaml
from other_values import LOSSES

from distilrec.data.batches import Windows
from distilrec.distil.objective import surroundings_of
from distilrec.distil.settings import DistilSettings
from distilrec.distil.terms import make_terms
from distilrec.errors import KnowledgeError, SettingsError
from distilrec.knowledge import FactorLabels
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Ragged

OUTSIDE = "teacher={kind: outside, rankings: lists.parquet}"
EASE = "teacher={kind: ease}"
ENSEMBLE = "teacher={kind: ensemble, members: [{kind: ids, model: {max_length: 10}}, {kind: ease}]}"
FREE = "distil.start_from_teacher=false"
HIDDEN = "distil.losses=[{kind: hidden_states, teacher: hidden.blocks.0, student: blocks.0}]"
ATTENTION = "distil.losses=[{kind: attention_transfer, teacher: attention.blocks.0, student: blocks.0}]"
RELATIONS = "distil.losses=[{kind: relations, teacher: relation.blocks.0.value, student: blocks.0}]"
KEPT = {
    HIDDEN: "knowledge.hidden=[blocks.0]",
    ATTENTION: "knowledge.attention=[blocks.0]",
    RELATIONS: "knowledge.relations=[blocks.0.value]",
}


def refused(small, *overrides):
    with pytest.raises(SettingsError) as caught:
        small.recipe(*overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            HIDDEN,
            "the loss hidden_states needs hidden.blocks.0 of the teacher, which is not taken out of it; add "
            "hidden: [blocks.0] under knowledge, or set knowledge.source to live",
        ),
        (
            ATTENTION,
            "the loss attention_transfer needs attention.blocks.0 of the teacher, which is not taken out of "
            "it; add attention: [blocks.0] under knowledge",
        ),
        (
            RELATIONS,
            "the loss relations needs relation.blocks.0.value of the teacher, which is not taken out of it; "
            "add relations: [blocks.0.value] under knowledge",
        ),
    ],
)
def test_a_layer_that_is_not_kept_is_named_with_the_setting_that_keeps_it(small, loss, message):
    assert message in refused(small, loss)
    assert small.recipe(loss, KEPT[loss])
    assert small.recipe(loss, "knowledge.source=live")


def test_a_column_that_cannot_be_is_told_what_columns_are_called(small):
    told = refused(small, "distil.losses=[{kind: hidden_states, teacher: blocks.0}]")
    assert "'blocks.0' names nothing inside a network; expected hidden, attention or relation" in told


@pytest.mark.parametrize(
    ("override", "who"),
    [
        ("distil.losses=[{kind: rejuvenated}]", "the loss rejuvenated"),
        ("distil.losses=[{kind: entropy, towards: teacher}]", "the loss entropy"),
        ("distil.trust={confidence: 1}", "distil.trust"),
        ("distil.curriculum={}", "distil.curriculum by teacher_loss"),
        ("distil.auxiliary_head=true", "distil.auxiliary_head"),
    ],
)
def test_what_needs_soft_labels_is_refused_without(small, override, who):
    told = refused(small, override, "knowledge.soft_labels=none", "knowledge.hidden=[blocks.0]")
    assert f"{who} needs the teacher's soft labels, and knowledge.soft_labels is none; set it to whole" in told
    assert small.recipe(override)
    assert small.recipe(override, "knowledge.soft_labels=top")
    assert small.recipe(override, "knowledge.soft_labels=none", "knowledge.source=live")


def test_what_needs_no_soft_labels_is_fine_without(small):
    fine = "distil.losses=[{kind: entropy}, {kind: view_consistency}]"
    assert small.recipe(fine, "distil.curriculum={by: length}", "knowledge.soft_labels=none")


def test_history_vectors_are_kept_as_a_factor_of_soft_labels(small):
    loss = "distil.losses=[{kind: topology}]"
    told = refused(small, loss, "knowledge.soft_labels=top")
    assert "the loss topology needs history_vectors of the teacher; set knowledge.soft_labels to whole or both" in told
    assert small.recipe(loss, "knowledge.soft_labels=both")


@pytest.mark.parametrize("teacher", [OUTSIDE, EASE, ENSEMBLE])
def test_teachers_without_layers_are_not_looked_into(small, teacher):
    kind = yaml.safe_load(teacher.partition("=")[2])["kind"]
    told = refused(small, teacher, FREE, "distil.losses=[{kind: topology}]", "distil.layers={blocks.0: blocks.0}")
    assert f"the loss topology needs history_vectors of the teacher, and a teacher of kind {kind} has no layers" in told
    assert f"distil.layers copies layers of the teacher, and a teacher of kind {kind} has none; take one" in told


@pytest.mark.parametrize(
    "override", ["distil.losses=[{kind: item_alignment}]", "student.train.augment={substitute: 0.5}"]
)
def test_item_vectors_are_not_asked_of_who_has_none(small, override):
    asked = "student.train.augment, to substitute" if "augment" in override else "the loss item_alignment"
    assert "a teacher of kind ease has none; take another one" in refused(small, EASE, FREE, override)
    told = refused(small, OUTSIDE, FREE, override)
    assert asked in told
    assert "needs the teacher's item vectors, and this one has none; give some as teacher.vectors" in told
    assert small.recipe(OUTSIDE, "teacher.vectors=vectors.npy", override)
    assert small.recipe(ENSEMBLE, override)


def test_an_advantage_is_measured_on_models_alone(small):
    trust = "distil.trust={advantage: 1}"
    told = refused(small, OUTSIDE, FREE, trust)
    assert "a teacher of kind outside is no model that could; set it to 0" in told
    assert small.recipe(EASE, FREE, trust)
    assert small.recipe(OUTSIDE, FREE, "distil.trust={confidence: 1}")


def test_a_pull_without_layers_would_draw_nothing(small):
    told = refused(small, "distil.pull=0.1")
    assert "distil.pull draws the layers that distil.layers names, and it names none; name some, or leave" in told
    assert small.recipe("distil.pull=0.1", "distil.layers={blocks.0: blocks.0}")


def test_a_teacher_has_nobody_to_say_which_items_are_similar(small):
    told = refused(small, "teacher.train.augment={insert: 0.5}")
    assert "teacher.train.augment substitutes or inserts items that a teacher finds similar, and a teacher has" in told
    assert small.recipe("teacher.train.augment={mask: 0.5}")


def test_a_saved_teacher_may_be_of_any_kind(small):
    assert small.recipe("teacher={kind: saved, model: t}", "distil.losses=[{kind: item_alignment}]")


# ---- tried on a made-up catalogue


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["knowledge.hidden=[blocks.9]", HIDDEN.replace("hidden.blocks.0", "hidden.blocks.9")],
            "distil: the loss hidden_states: the teacher has no layer 'blocks.9'; near it are",
        ),
        (
            ["knowledge.hidden=[blocks.0]", HIDDEN.replace("student: blocks.0", "student: blocks.3")],
            "distil: the loss hidden_states: the student has no layer 'blocks.3'; near it are",
        ),
        (
            ["distil.losses=[{kind: hidden_states, projection: identity}]"],
            "the student's width is 8 and the teacher's 16; choose a projection",
        ),
        (["distil.layers={blocks.5: blocks.0}"], "distil: the student has no layer 'blocks.5' with weights; near it"),
        (["distil.layers={blocks.0: blocks.5}"], "distil: the teacher has no layer 'blocks.5' with weights; near it"),
        (["distil.layers={blocks.0: blocks.0}", FREE], "give the directions that the student's item table was reduced"),
        (
            ["knowledge.attention=[blocks.0]", ATTENTION, "student.train.augment={mask: 0.5}"],
            "losses on attention or relations compare histories pair by pair, so those can't be augmented",
        ),
        (
            ["teacher={kind: saved, model: t}", FREE, HIDDEN.replace("student: b", "student: x.b"),
             "knowledge.hidden=[blocks.0]"],
            "distil: the student has no layer 'x.blocks.0'; near it are",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_student_and_teacher_is_refused_before_the_teacher_is_trained(small, overrides, message):
    assert message in refused(small, *overrides)


def test_trying_draws_no_number_that_training_would_have_drawn(small):
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    small.recipe(HIDDEN, "knowledge.hidden=[blocks.0]", "student.train.augment={substitute: 0.5}")
    assert torch.equal(torch.rand(1), wanted)


# ---- what the losses say of themselves is true


class Giving:
    """A teacher that has what it is told to have, and refuses the rest."""

    def __init__(self, has):
        self.has = has

    def item_vectors(self):
        return torch.zeros(8, 4).numpy() if "item_vectors" in self.has else None

    def soft_labels(self, batch):
        vectors = torch.zeros(int(batch.lengths.sum()), 4).numpy(), torch.zeros(8, 4).numpy()
        return [FactorLabels(*vectors)] if "soft_labels" in self.has else []

    def column_width(self, name):
        if name not in self.has:
            raise KnowledgeError(f"there is no {name}")
        return 2


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_is_made_with_what_it_says_that_it_needs_and_with_nothing_less(kind):
    layers = {"attention_transfer": "attention.blocks.0", "relations": "relation.blocks.0"}
    extra = {"teacher": layers[kind], "student": "blocks.0"} if kind in layers else {}
    extra |= {"towards": "teacher"} if kind == "entropy" else {}
    (settings,) = DistilSettings(losses=({"kind": kind, **extra},)).losses
    student = Transformer(TransformerSettings(width=4, heads=2, max_length=3), 8)
    windows = Windows.cut(Ragged.of([[0, 1, 2]]), max_length=3)

    def made(has):
        return make_terms([settings], surroundings_of(student, windows, Giving(has)))

    assert list(made(settings.needs)) == [kind]
    for need in settings.needs:
        with pytest.raises(KnowledgeError, match=f"the loss {kind}: "):
            made(settings.needs - {need})
