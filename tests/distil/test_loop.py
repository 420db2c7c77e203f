"""The one training loop, on a world whose right answer is known: after item i comes item i + 1, in a circle."""

import inspect
import math
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from distilrec.data.batches import Windows
from distilrec.distil.loop import choose_precision, rate_factor, train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import KnowledgeError, MissingExtraError, SettingsError, TrainingError
from distilrec.knowledge import Column, DenseLabels, FactorLabels, FactorPart, KnowledgeWriter, ListLabels
from distilrec.models.sampled import SampledVectors
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch, Ragged

N_ITEMS = 10
SHAPE = TransformerSettings(width=16, max_length=6, dropout=0.1, embedding_dropout=0.1)
FAST = TrainSettings(epochs=3, batch_size=4, learning_rate=0.01, precision="float32")


def circle(n_users=20, *, noise=0.0, seed=0):
    """Windows of users who walk round the circle; with probability `noise` a step leads anywhere."""
    draw = np.random.default_rng(seed)
    walks = [[user % N_ITEMS] for user in range(n_users)]
    for walk in walks:
        for _ in range(draw.integers(2, 7)):
            walk.append(int(draw.integers(N_ITEMS)) if draw.random() < noise else (walk[-1] + 1) % N_ITEMS)
    return Windows.cut(Ragged.of(walks), max_length=SHAPE.max_length)


def student(seed=0, shape=SHAPE):
    torch.manual_seed(seed)
    return Transformer(shape, N_ITEMS)


def share_right(model):
    """For how many of the ten items the one that follows is ranked first: NDCG@1."""
    ranked_first = model.scores(Batch.of([[item] for item in range(N_ITEMS)])).argmax(axis=1)
    return float((ranked_first == (np.arange(N_ITEMS) + 1) % N_ITEMS).mean())


def rising():
    """A validation that likes every epoch better than the one before, so that the last weights are kept."""
    scores = iter(range(1000))
    return lambda model: next(scores)


def scripted(*scores):
    given = iter(scores)
    return lambda model: next(given)


def run(settings=FAST, *, model=None, windows=None, validate=None, **options):
    """The model after training, and the report."""
    model = model if model is not None else student()
    report = train(
        model,
        windows if windows is not None else circle(),
        validate=validate or rising(),
        settings=settings,
        quiet=True,
        **options,
    )
    return model, report


def same(model, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


class Oracle:
    """A teacher that knows the circle: nine parts in ten on the item that follows."""

    def __init__(self, items=None):
        self._items = np.eye(N_ITEMS, dtype=np.float32) if items is None else items

    def digest(self):
        return str(self._items.tolist())

    def item_vectors(self):
        return self._items

    def soft_labels(self, batch):
        return [FactorLabels(self.history_vectors(batch), self._items)]

    def check_belongs(self, *, windows_digest, n_items):
        pass

    def lists(self, batch):
        return None

    def column_width(self, name):
        assert name == "history_vectors"
        return N_ITEMS

    def column(self, name, batch):
        return self.history_vectors(batch)

    def history_vectors(self, batch):
        following = (batch.items[batch.mask] + 1) % N_ITEMS
        shares = np.full((len(following), N_ITEMS), 0.1 / 9)
        shares[np.arange(len(following)), following] = 0.9
        return np.log(shares).astype(np.float32)


class Shuffled(Oracle):
    """The same rows, given to the wrong positions: the control that must not help."""

    def history_vectors(self, batch):
        rows = super().history_vectors(batch)
        return rows[np.random.default_rng(int(batch.rows.sum())).permutation(len(rows))]


def test_the_loss_falls_and_the_circle_is_learnt():
    model, report = run(FAST.with_changes(epochs=25, patience=25), validate=share_right)
    losses = [epoch["loss"] for epoch in report.epochs]
    assert losses[0] > 1.5
    assert losses[-1] < 0.5
    assert report.best_score == 1.0
    assert share_right(model) == 1.0


def test_training_ends_when_validation_stays_worse_and_the_best_weights_are_kept():
    """Best in epoch 1, then two without a better one; a tie is not better."""
    model, report = run(FAST.with_changes(epochs=9, patience=2), validate=scripted(0.1, 0.5, 0.3, 0.5))
    assert [epoch["score"] for epoch in report.epochs] == [0.1, 0.5, 0.3, 0.5]
    assert (report.best_epoch, report.best_score) == (1, 0.5)
    two_epochs, _ = run(FAST.with_changes(epochs=2))
    assert same(model, two_epochs)


def test_a_better_epoch_starts_the_patience_anew():
    _, report = run(FAST.with_changes(epochs=9, patience=2), validate=scripted(0.5, 0.1, 0.6, 0.1, 0.1))
    assert len(report.epochs) == 5


def test_the_model_is_validated_and_left_without_dropout():
    modes = []
    model, _ = run(validate=lambda model: modes.append(model.training) or 0.0)
    assert modes == [False] * 3
    assert not model.training


def test_the_loss_in_the_report_is_the_mean_over_positions():
    """With a step too small to change anything, all three epochs have the loss of the first weights."""
    shape, windows = SHAPE.with_changes(dropout=0, embedding_dropout=0), circle()
    model = student(shape=shape)
    batch = windows.batch(np.arange(len(windows)))
    with torch.no_grad():
        history, items = model(batch)
        wanted = torch.nn.functional.cross_entropy(history @ items.T, torch.from_numpy(batch.targets[batch.mask]))
    _, report = run(FAST.with_changes(learning_rate=1e-12), model=model, windows=windows)
    for epoch in report.epochs:
        assert epoch["loss"] == pytest.approx(float(wanted), rel=1e-4)


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before():
    first, _ = run()
    model = student()
    torch.rand(7)
    second, _ = run(model=model)
    assert same(first, second)


CHANGES = {
    "epochs": 2,
    "patience": 1,
    "batch_size": 5,
    "learning_rate": 0.02,
    "weight_decay": 0.5,
    "schedule": "cosine",
    "warmup_steps": 5,
    "clip_norm": 0.01,
    "label_smoothing": 0.2,
    "augment": {"mask": 1.0},
    "candidates": {"student_top": 2, "random": 4},
    "precision": "bfloat16",
    "seed": 1,
}


@pytest.mark.parametrize(("field", "value"), CHANGES.items())
def test_every_training_setting_matters(field, value):
    """With a patience of one, the third epoch, which is the best, is never reached."""
    scores = (0.1, 0.0, 0.5)
    before, _ = run(validate=scripted(*scores))
    after, _ = run(FAST.with_changes(**{field: value}), validate=scripted(*scores))
    assert not same(before, after)


def test_no_training_setting_is_left_out():
    """How often a checkpoint is written is tested with the checkpoints, the body's step size further below."""
    assert {*CHANGES, "checkpoint_seconds", "body_learning_rate"} == TrainSettings.model_fields.keys()


DISTILLING = {
    "alpha": 0.2,
    "temperature": 3.0,
    "losses": ({"kind": "topology", "teacher": "history_vectors"},),
    "trust": {"target": 1.0},
    "auxiliary_head": True,
    "curriculum": {"start_share": 0.1, "by": "length"},
}
SOFT = DistilSettings(alpha=0.7)


@pytest.mark.parametrize("changes", [{field: value} for field, value in DISTILLING.items()])
def test_every_distilling_setting_matters(changes):
    before, _ = run(knowledge=Oracle(), distil=SOFT)
    after, _ = run(knowledge=Oracle(), distil=DistilSettings(**{"alpha": 0.7, **changes}))
    assert not same(before, after)


def test_no_distilling_setting_is_left_out():
    """Where the item table starts is decided before the loop, and tested there."""
    assert DistilSettings.model_fields.keys() == {*DISTILLING, "start_from_teacher", "layers", "pull"}


def test_a_teacher_who_is_not_listened_to_changes_nothing():
    alone, _ = run()
    unheard, _ = run(knowledge=Oracle(), distil=DistilSettings(alpha=0))
    assert same(alone, unheard)


def test_without_distilling_settings_the_usual_ones_hold():
    model, _ = run(knowledge=Oracle())
    spelt_out, _ = run(knowledge=Oracle(), distil=DistilSettings())
    assert same(model, spelt_out)


def test_the_true_teacher_helps_and_a_shuffled_one_does_not():
    """Half of the steps are noise, so that a student alone learns slowly."""
    settings, windows = FAST.with_changes(epochs=12, patience=12), circle(30, noise=0.5, seed=1)
    reports = [
        run(settings, windows=windows, validate=share_right, knowledge=knowledge, distil=distil)[1]
        for knowledge, distil in ((None, None), (Oracle(), SOFT), (Shuffled(), SOFT))
    ]
    alone, taught, misled = (report.best_score for report in reports)
    assert taught == 1.0
    assert alone <= 0.9
    assert misled <= alone


def test_a_loss_that_is_not_a_number_ends_training_with_what_to_do():
    message = (
        r"the loss became nan in epoch 0, batch 1\. Lower learning_rate \(now 1e\+30\) or set clip_norm; "
        "the last checkpoint is kept"
    )
    with pytest.raises(TrainingError, match=message):
        run(FAST.with_changes(learning_rate=1e30))


def test_a_validation_that_is_not_a_number_ends_training():
    with pytest.raises(TrainingError, match="validation gave nan after epoch 1; expected a finite number"):
        run(validate=scripted(0.5, math.nan))


def test_distilling_settings_without_a_teacher_are_refused():
    with pytest.raises(SettingsError, match="distil settings were given, but no knowledge of a teacher; give both or"):
        run(distil=DistilSettings())


def test_a_teacher_of_another_catalogue_is_refused():
    with pytest.raises(SettingsError, match="soft labels rank 9 items; expected the catalogue's 10"):
        run(knowledge=Oracle(np.eye(N_ITEMS, dtype=np.float32)[:9]), distil=SOFT)


def test_knowledge_of_other_windows_is_refused_before_it_does_harm(tmp_path):
    """The other windows are of the same lengths, so that nothing else would notice."""
    windows, other = circle(), circle(seed=0)
    other = Windows(Ragged((other.pieces.values + 1) % N_ITEMS, other.pieces.offsets), other.owners, other.begins)
    about, columns = {"windows_digest": other.digest()}, [Column("history_vectors", (4,))]
    writer = KnowledgeWriter(tmp_path, about=about, positions=other.positions, columns=columns)
    writer.write_shard(0, {"history_vectors": np.zeros((int(other.positions.sum()), 4), np.float32)})
    writer.write_table("item_vectors", np.zeros((N_ITEMS, 4), np.float32))
    knowledge = writer.finish([FactorPart()], n_items=N_ITEMS, kinds=["soft_labels"])
    with pytest.raises(KnowledgeError, match="was extracted from other training windows"):
        run(windows=windows, knowledge=knowledge)


class InOtherForms(Oracle):
    """What the oracle says, said as lists of all items and as logits."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def soft_labels(self, batch):
        logits = self.history_vectors(batch)
        if self.form == "logits":
            return [DenseLabels(logits)]
        items = np.tile(np.arange(N_ITEMS), (len(logits), 1))
        return [ListLabels(items, logits, np.zeros(len(logits), np.float32))]


@pytest.mark.parametrize("form", ["logits", "lists"])
def test_in_whatever_form_a_teacher_speaks_the_student_learns_the_same(form):
    wanted, _ = run(knowledge=Oracle())
    found, _ = run(knowledge=InOtherForms(form))
    for name, value in wanted.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, atol=1e-3, rtol=1e-3)


class SpeaksOfSome(Oracle):
    """Silent about all but the first position of each batch."""

    def soft_labels(self, batch):
        return [FactorLabels(self.history_vectors(batch)[:1], self._items, rows=np.zeros(1, dtype=np.int64))]


def test_a_teacher_may_be_silent_about_some_positions():
    """Little is learnt from it, but something, and the hard labels do the rest."""
    alone, _ = run()
    some, report = run(knowledge=SpeaksOfSome())
    assert not same(alone, some)
    assert report.epochs[-1]["loss"] < report.epochs[0]["loss"]


class Sampling(torch.nn.Module):
    """A student that ranks its targets against each other alone while it trains."""

    def __init__(self):
        super().__init__()
        self.inner = student()

    def forward(self, batch):
        histories, items = self.inner(batch)
        distinct, places = torch.from_numpy(batch.targets[batch.mask]).unique(return_inverse=True)
        return SampledVectors(histories, items[distinct], places)

    def scores(self, batch):
        return self.inner.scores(batch)


def test_a_model_may_train_against_sampled_items():
    _, report = run(FAST.with_changes(epochs=8), model=Sampling(), validate=share_right)
    assert report.best_score == 1


def test_sampled_items_and_soft_labels_do_not_go_together():
    with pytest.raises(TrainingError, match="trains against sampled items, and soft labels are over the whole"):
        run(model=Sampling(), knowledge=Oracle(), distil=SOFT)


class HalfPretrained(torch.nn.Module):
    """Says that its item table was pretrained."""

    def __init__(self):
        super().__init__()
        self.inner = student()

    def forward(self, batch):
        return self.inner(batch)

    def pretrained_parameters(self):
        return [self.inner.table.weight]


def test_what_was_pretrained_has_a_step_size_of_its_own():
    before = student().state_dict()
    tiny = FAST.with_changes(epochs=1, body_learning_rate=1e-12, weight_decay=0)
    model, _ = run(tiny, model=HalfPretrained(), validate=rising())
    after = model.inner.state_dict()
    torch.testing.assert_close(after["table.weight"], before["table.weight"], atol=1e-8, rtol=0)
    assert not torch.equal(after["norm.weight"], before["norm.weight"])


def test_what_is_frozen_stays_and_is_not_kept_twice(tmp_path):
    model = student()
    model.table.weight.requires_grad_(False)
    before = model.table.weight.clone()
    run(model=model, checkpoint_path=tmp_path / "checkpoint.safetensors", validate=rising())
    torch.testing.assert_close(model.table.weight, before, atol=0, rtol=0)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        assert not [name for name in file.keys() if "table.weight" in name]  # noqa: SIM118  (not a dict)


def test_batches_without_targets_are_refused():
    class Blind(Windows):
        def batch(self, rows):
            whole = super().batch(rows)
            return Batch(whole.items, whole.lengths)

    with pytest.raises(TrainingError, match=r"a training batch came without targets; take batches from Windows\.batch"):
        run(windows=Blind(circle().pieces, circle().owners, circle().begins))


def test_without_accelerate_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"accelerate is not installed. Run: pip install 'distilrec\[train\]'"):
        run()


def test_the_loop_is_never_given_the_test_set():
    assert list(inspect.signature(train).parameters) == [
        "model",
        "windows",
        "validate",
        "settings",
        "knowledge",
        "distil",
        "advantage",
        "towards",
        "checkpoint_path",
        "name",
        "quiet",
    ]


def test_progress_is_told_unless_quiet(capsys, monkeypatch):
    monkeypatch.setattr("distilrec.progress._LINE_EVERY_SECONDS", 0.0)
    train(student(), circle(), validate=scripted(0.25), settings=FAST.with_changes(epochs=1), name="Teacher")
    assert "Teacher: 5/5" in (told := capsys.readouterr().err)
    assert "validation 0.25000, best 0.25000" in told
    run(FAST.with_changes(epochs=1))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"warmup_steps": 4}, [1 / 4, 2 / 4, 3 / 4, 1, 1]),
        ({"schedule": "cosine"}, [1, (2 + 2**0.5) / 4, 1 / 2, (2 - 2**0.5) / 4, 0]),
        ({"schedule": "cosine", "warmup_steps": 2}, [1 / 2, (2 + 2**0.5) / 4, 1 / 2, (2 - 2**0.5) / 4, 0]),
    ],
)
def test_the_step_size_over_four_batches_and_at_the_end(changes, rates):
    settings = TrainSettings(**changes)
    assert [rate_factor(settings, step, 4) for step in range(5)] == pytest.approx(rates)


@pytest.mark.parametrize(
    ("wanted", "device", "flags", "cuda", "chosen"),
    [
        ("float32", "cuda", ["amx_bf16"], True, torch.float32),
        ("bfloat16", "cpu", [], False, torch.bfloat16),
        ("auto", "cpu", ["avx512_bf16"], False, torch.bfloat16),
        ("auto", "cpu", [], True, torch.float32),
        ("auto", "cuda", [], True, torch.bfloat16),
        ("auto", "cuda", ["amx_bf16"], False, torch.float32),
        ("auto", "mps", ["amx_bf16"], True, torch.float32),
    ],
)
def test_bfloat16_is_taken_where_the_device_multiplies_it_fast(monkeypatch, wanted, device, flags, cuda, chosen):
    monkeypatch.setattr("distilrec.encode.processor.fast_bf16_flags", lambda: flags)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: cuda)
    assert choose_precision(wanted, torch.device(device)) == chosen
