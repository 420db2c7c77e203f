"""What a step minimises: which rows of the student meet which rows of the teacher, and what each part of it costs."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.data.batches import Windows
from distilrec.distil.loop import train
from distilrec.distil.objective import Objective
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import SettingsError
from distilrec.knowledge import DenseLabels
from distilrec.mixture.parts import Onto
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Ragged

N_ITEMS, LENGTH, SURE = 12, 6, 30.0
WINDOWS = Windows.cut(Ragged.of([np.arange(start, start + LENGTH) % N_ITEMS for start in range(8)]), max_length=LENGTH)
BATCH = WINDOWS.batch(np.arange(8))
PLAIN = TrainSettings(precision="float32")
CPU = Onto(torch.device("cpu"))


def naming(items):
    """Vectors that are sure of one item each, [P, N]."""
    return SURE * np.eye(N_ITEMS, dtype=np.float32)[items % N_ITEMS]


class Names:
    """A teacher that is sure, at each position, of the item so many steps after the one read there."""

    def __init__(self, after=0):
        self.after = after

    def digest(self):
        return f"names {self.after}"

    def check_belongs(self, **_):
        pass

    def item_vectors(self):
        """Neighbours on the circle are alike."""
        angles = 2 * np.pi * np.arange(N_ITEMS) / N_ITEMS
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def soft_labels(self, batch):
        return [DenseLabels(self.column("history_vectors", batch))]

    def lists(self, batch):
        return None

    def column_width(self, name):
        return N_ITEMS

    def column(self, name, batch):
        return naming(batch.items[batch.mask] + self.after)


class Reads(nn.Module):
    """A student that is sure, at each position, of the item so many steps after the one read there."""

    def __init__(self, after=0):
        super().__init__()
        self.after, self.n_items, self.max_length = after, N_ITEMS, LENGTH
        self.table = nn.Parameter(torch.eye(N_ITEMS))
        self.seen = []

    def item_vectors(self):
        return self.table

    def forward(self, batch):
        self.seen.append(batch)
        return torch.from_numpy(naming(batch.items[batch.mask] + self.after)) @ self.table, self.table


def student(seed=0, dropout=0.2):
    torch.manual_seed(seed)
    shape = TransformerSettings(width=8, max_length=LENGTH, dropout=dropout, embedding_dropout=0)
    return Transformer(shape, N_ITEMS)


def objective(model, settings=PLAIN, *, knowledge=None, advantage=None, **distil):
    return Objective(
        model,
        WINDOWS,
        settings,
        knowledge=knowledge,
        distil=DistilSettings(**{"losses": (), **distil}),
        onto=CPU,
        precision=torch.float32,
        advantage=advantage,
    )


def step(found, model, *, seed=0, progress=0.0, batch=BATCH):
    return found(model, model, batch, progress=progress, seed=seed)


# ---- augmented histories


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("operation", ["crop", "mask", "insert", "all but reorder"])
def test_an_augmented_position_meets_what_the_teacher_said_of_the_same_one(operation, seed):
    """The teacher names the item read at each position of the clean history, the student that of the changed one."""
    changed = {"crop": 1, "mask": 1, "insert": 1} if operation == "all but reorder" else {operation: 1}
    settings, model = PLAIN.with_changes(augment=changed), Reads()
    found = step(objective(model, settings, knowledge=Names(), alpha=1.0), model, seed=seed)
    assert model.seen[-1].items.shape != BATCH.items.shape or not (model.seen[-1].items == BATCH.items).all()
    assert found.values["soft"] < 1e-6
    wrong = step(objective(model, settings, knowledge=Names(after=1), alpha=1.0), model, seed=seed)
    assert wrong.values["soft"] == pytest.approx(SURE)


@pytest.mark.parametrize("seed", range(5))
def test_it_meets_the_hard_label_of_the_same_position_too(seed):
    """Without substitutes the item after the one read is always the target."""
    model = Reads(after=1)
    augmenting = PLAIN.with_changes(augment={"crop": 1, "mask": 1, "insert": 1})
    found = step(objective(model, augmenting, knowledge=Names()), model, seed=seed)
    assert found.values["hard"] < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_columns_and_lists_are_of_the_same_positions(seed):
    """Of vectors that are sure of one item each, equal ones point one way, and those of two items stand at right
    angles."""
    model, settings = Reads(), PLAIN.with_changes(augment={"crop": 1, "mask": 1})
    losses = (
        {"kind": "hidden_states", "projection": "identity", "measure": "cosine"},
        {"kind": "logit_mse", "top": 1, "random": 3},
    )
    same, other = (
        step(objective(model, settings, knowledge=Names(after), losses=losses), model, seed=seed).values
        for after in (0, 1)
    )
    assert same["hidden_states"] == pytest.approx(0, abs=1e-6)
    assert same["logit_mse"] == pytest.approx(0, abs=1e-6)
    assert other["hidden_states"] == pytest.approx(1)
    assert other["logit_mse"] > 1


@pytest.mark.parametrize("seed", range(5))
def test_measured_trust_is_of_the_same_positions(seed):
    """The teacher is believed at the first position of each window, where the student says the same; elsewhere counts
    the hard label, which this student is sure to miss."""
    believed = np.concatenate([np.arange(n) == 0 for n in WINDOWS.positions]).astype(np.float32)
    model, settings = Reads(), PLAIN.with_changes(augment={"mask": 1})
    found = objective(
        model, settings, knowledge=Names(), advantage=believed, trust={"advantage": 1}, alpha=1.0, temperature=1.0
    )
    loss = step(found, model, seed=seed).values["loss"]
    seen = model.seen[-1]
    firsts = (seen.mask & (seen.items == BATCH.items[:, :1])).sum()
    assert 0 < firsts < seen.mask.sum()
    assert loss == pytest.approx(SURE * (1 - firsts / seen.mask.sum()))


def test_substitutes_are_items_that_the_teacher_finds_similar():
    model = Reads()
    settings = PLAIN.with_changes(augment={"substitute": 1, "substitute_share": 0.3})
    found = objective(model, settings, knowledge=Names())
    assert found.neighbours.shape == (N_ITEMS, N_ITEMS - 1)  # at most 20
    assert set(found.neighbours[5, :2]) == {4, 6}
    step(found, model)
    assert not np.array_equal(model.seen[-1].items, BATCH.items)


def test_similar_items_are_asked_of_a_teacher_that_knows_some():
    message = "augment substitutes or inserts items that the teacher finds similar, and there is no teacher with item"
    with pytest.raises(SettingsError, match=message):
        objective(Reads(), PLAIN.with_changes(augment={"insert": 0.5}))


def test_pairs_of_positions_are_not_compared_in_augmented_histories():
    class HasAttention(Names):
        def column_width(self, name):
            return 1

    term = {"kind": "attention_transfer", "teacher": "attention.blocks.0", "student": "blocks.0"}
    message = "losses on attention or relations compare histories pair by pair, so those can't be augmented"
    with pytest.raises(SettingsError, match=message):
        objective(student(), PLAIN.with_changes(augment={"mask": 0.5}), knowledge=HasAttention(), losses=(term,))


# ---- two views


def test_two_views_are_of_the_same_positions():
    """This student's answer depends on the item read alone, so both views say the same of the same position."""
    model = Reads()
    settings = PLAIN.with_changes(augment={"crop": 1, "mask": 1})
    found = objective(model, settings, losses=({"kind": "view_consistency"},))
    for seed in range(5):
        model.seen.clear()
        assert step(found, model, seed=seed).values["view_consistency"] < 1e-6
        one, other = model.seen
        assert one.items.shape != other.items.shape or not np.array_equal(one.items, other.items)


def test_other_dropped_units_are_another_view():
    term = {"kind": "view_consistency"}
    dropped, whole = (student(dropout=share).train() for share in (0.5, 0.0))
    assert step(objective(dropped, losses=(term,)), dropped).values["view_consistency"] > 0
    assert step(objective(whole, losses=(term,)), whole).values["view_consistency"] == pytest.approx(0, abs=1e-6)


def test_a_history_is_read_twice_for_two_views_alone():
    for losses, times in (((), 1), (({"kind": "view_consistency"},), 2)):
        model = Reads()
        step(objective(model, losses=losses), model)
        assert len(model.seen) == times


# ---- the auxiliary head


def test_the_head_changes_nothing_at_first():
    model = student(dropout=0.0)
    plain, aside = (
        step(objective(model, knowledge=Names(), alpha=0.6, auxiliary_head=head), model) for head in (False, True)
    )
    assert aside.values == pytest.approx(plain.values, rel=1e-5)


def test_soft_labels_reach_the_student_through_the_head_alone():
    """A head of zeros answers evenly whatever it is given, so without hard labels nothing reaches the student."""
    model = student()
    found = objective(model, knowledge=Names(), alpha=1.0, auxiliary_head=True)
    nn.init.zeros_(found.head.weight)
    loss = step(found, model)
    assert loss.values["soft"] == pytest.approx(np.log(N_ITEMS))
    loss.total.backward()
    assert float(model.norm.weight.grad.abs().max()) == 0
    assert float(found.head.weight.grad.abs().max()) > 0


def test_the_head_is_learnt_and_not_shipped():
    heads = []

    def look(model):
        heads.append({name for name in model.state_dict() if "head" in name})
        return 0.0

    model, names = student(), set(student().state_dict())
    distil = DistilSettings(auxiliary_head=True)
    train(
        model,
        WINDOWS,
        validate=look,
        settings=PLAIN.with_changes(epochs=1),
        knowledge=Names(),
        distil=distil,
        quiet=True,
    )
    assert set(model.state_dict()) == names
    assert heads == [set()]


# ---- candidates


def test_all_items_as_candidates_are_the_loss_over_the_whole_catalogue():
    model = student(dropout=0.0)
    everything = PLAIN.with_changes(candidates={"random": N_ITEMS, "teacher_top": 3, "student_top": 3})
    whole, few = (
        step(objective(model, settings, knowledge=Names(), alpha=0.4), model) for settings in (PLAIN, everything)
    )
    assert few.values == pytest.approx(whole.values, rel=1e-4)


def test_the_teachers_best_items_are_candidates_also_where_its_soft_labels_are_not_learnt():
    model = student(dropout=0.0)
    candidates = {"random": 1, "teacher_top": N_ITEMS, "student_top": 0}
    taught, plain = (
        step(objective(model, PLAIN.with_changes(**changed), knowledge=Names(), alpha=0.0), model).values["hard"]
        for changed in ({"candidates": candidates}, {})
    )
    assert taught == pytest.approx(plain, rel=1e-4)


def test_candidates_are_drawn_anew_at_each_step_and_the_same_for_the_same_seed():
    model = student(dropout=0.0)
    found = objective(model, PLAIN.with_changes(candidates={"random": 2, "teacher_top": 0, "student_top": 0}))
    losses = [float(step(found, model, seed=seed).total.detach()) for seed in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


# ---- the parts


def test_the_parts_are_reported_before_weighting_and_sum_to_the_loss():
    model = student(dropout=0.0)
    losses = ({"kind": "topology", "weight": 3.0}, {"kind": "entropy", "weight": 0.5})
    found = step(objective(model, knowledge=Names(), losses=losses, alpha=0.25), model).values
    assert list(found) == ["loss", "hard", "soft", "topology", "entropy"]
    wanted = 0.75 * found["hard"] + 0.25 * found["soft"] + 3 * found["topology"] + 0.5 * found["entropy"]
    assert found["loss"] == pytest.approx(wanted, rel=1e-5)


def test_without_a_teacher_there_is_the_hard_part_alone():
    model = student()
    assert list(step(objective(model), model).values) == ["loss", "hard"]


def test_alpha_follows_its_schedule():
    model = student(dropout=0.0)
    found = objective(
        model, knowledge=Names(), alpha={"kind": "step", "start": 1.0, "end": 0.0, "begin": 0.5}, temperature=1.0
    )
    first, last = (step(found, model, progress=progress).values for progress in (0.0, 0.9))
    assert first["loss"] == pytest.approx(first["soft"])
    assert last["loss"] == pytest.approx(last["hard"])


def test_trust_weighs_the_terms_of_positions_and_leaves_others():
    """A measured trust of 1/2 halves the first and leaves the second."""
    model, half = student(dropout=0.0), np.full(int(WINDOWS.positions.sum()), 0.5, np.float32)
    for kind, share in (("hidden_states", 0.5), ("topology", 1.0)):
        torch.manual_seed(0)
        trusting = objective(
            model, knowledge=Names(), advantage=half, losses=({"kind": kind},), trust={"advantage": 1}, alpha=0
        )
        found = step(trusting, model)
        assert found.values["loss"] - found.values["hard"] == pytest.approx(share * found.values[kind], rel=1e-3)


def test_the_report_of_training_has_the_parts_of_every_epoch():
    report = train(
        student(),
        WINDOWS,
        validate=lambda _: 0.0,
        settings=PLAIN.with_changes(epochs=2, patience=2),
        knowledge=Names(),
        distil=DistilSettings(losses=({"kind": "topology"},)),
        quiet=True,
    )
    assert [set(epoch) for epoch in report.epochs] == [{"loss", "hard", "soft", "topology", "score", "seconds"}] * 2
