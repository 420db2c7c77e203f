"""What every student promises, whichever kind it is of and whatever its form.

It looks only backwards and never at padding, reads its newest items, is the same folded, rebuilt, or asked a user at a
time, and where it has a state, goes on an item at a time.
"""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.distil.initialise import reduce_table, start_from_teacher
from distilrec.errors import DataError, SettingsError
from distilrec.models.kinds import rebuild
from distilrec.models.students import build_student, count_shipped, preset, student_kinds
from distilrec.models.tables import ContentTable, IdTable
from distilrec.types import Batch, Ragged

N_ITEMS = 12
SEQUENCES = Ragged.of([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
FORMS = {
    "input norm": ("transformer", {"input_norm": True}),
    "ligr": ("transformer", {"block": "ligr"}),
    "hstu": ("transformer", {"block": "hstu"}),
    "hstu, relative": ("transformer", {"block": "hstu", "positions": "relative"}),
    "hstu, no positions": ("transformer", {"block": "hstu", "positions": "none", "blocks": 2}),
    "lstm": ("gru", {"cell": "lstm"}),
    "caser": ("cnn", {"form": "caser"}),
    "tied": ("matrix_factorisation", {"tables": "tied"}),
}
"""Settings that make another model of a kind."""


def maker(name):
    """Makes a student of a kind or form whose weights are far from zero, so that every part of it shows."""
    kind, form = FORMS.get(name, (name, {}))

    def build(table=None, **changes):
        torch.manual_seed(0)
        settings = preset(kind, "tiny").with_changes(width=8, max_length=6, **form, **changes)
        model = build_student(settings, N_ITEMS, table=table, sequences=SEQUENCES)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        return model.eval()

    return build


@pytest.fixture(params=[*student_kinds(), *FORMS])
def make(request):
    """Makes a student of each kind and form."""
    return maker(request.param)


def vectors(model, *histories):
    with torch.no_grad():
        return model.history_vectors(Batch.of(histories), model.item_vectors())


# ---- history vectors


def test_a_later_item_changes_nothing_before_it(make):
    before, after = vectors(make(), [1, 2, 3, 4])[0], vectors(make(), [1, 2, 9, 4])[0]
    torch.testing.assert_close(before[:2], after[:2], rtol=0, atol=0)
    assert (before[2:] - after[2:]).abs().max() > 0.01


def test_an_earlier_item_and_its_place_count(make):
    """But a factorisation takes the mean of a history, whatever its order."""
    first, other, swapped = vectors(make(), [1, 2, 3], [7, 2, 3], [2, 1, 3])[:, -1]
    assert (first - other).abs().max() > 1e-3
    assert ((first - swapped).abs().max() > 1e-3) == (make().kind != "matrix_factorisation")


def test_each_position_is_what_its_prefix_gives_alone(make):
    whole = vectors(make(), [1, 2, 3, 4, 5, 6])[0]
    for length in range(1, 7):
        torch.testing.assert_close(vectors(make(), [1, 2, 3, 4, 5, 6][:length])[0, -1], whole[length - 1])


def test_one_user_is_scored_as_many_are(make):
    histories = [[1], [2, 3, 4, 5, 6], [7, 8]]
    model = make()
    alone = np.concatenate([model.scores(Batch.of([history])) for history in histories])
    np.testing.assert_allclose(model.scores(Batch.of(histories)), alone, rtol=1e-4, atol=1e-4)


def test_what_stands_in_the_padding_does_not_matter(make):
    model, batch = make(), Batch.of([[1, 2], [3, 4, 5]])
    dirty = Batch(np.where(batch.mask, batch.items, 11), batch.lengths)
    np.testing.assert_array_equal(model.scores(batch), model.scores(dirty))


def test_a_long_history_scores_as_its_newest_items_do(make):
    model, newest = make(), [1, 2, 3, 4, 0, 6]
    np.testing.assert_array_equal(model.scores(Batch.of([[5, 5, *newest]])), model.scores(Batch.of([newest])))


def test_no_histories_and_an_empty_history_score_without_complaint(make):
    model = make()
    assert model.scores(Batch.of([])).shape == (0, N_ITEMS)
    np.testing.assert_array_equal(model.scores(Batch.of([[]])), model.scores(Batch.of([[0]])))


def test_training_reaches_every_weight_in_bfloat16_and_about_as_in_float32(make):
    model, batch = make(embedding_dropout=0.0), Batch.of([[1, 2, 3], [4, 5]])
    exact = vectors(model, *[[1, 2, 3], [4, 5]])[torch.from_numpy(batch.mask)]
    with torch.autocast("cpu", torch.bfloat16):
        histories, items = model(batch)
    assert (histories.detach() - exact).norm() < 0.05 * exact.norm()
    loss = torch.logsumexp(histories.float() @ items.float().T, dim=1).sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("content", [False, True])
def test_folded_and_rebuilt_it_scores_the_same_with_a_plain_table(make, content):
    model = make(ContentTable(np.eye(N_ITEMS, dtype=np.float32), 8) if content else None)
    batch = Batch.of([[1, 2, 3], [4]])
    wanted = model.scores(batch)
    np.testing.assert_allclose(model.fold().scores(batch), wanted, rtol=1e-5, atol=1e-5)
    again = rebuild(model.kind, model.settings.model_dump(), model.state())
    np.testing.assert_allclose(again.scores(batch), wanted, rtol=1e-5, atol=1e-5)
    assert isinstance(again.table, IdTable)


@pytest.mark.parametrize("name", [*student_kinds(), *FORMS])
def test_a_student_that_starts_from_a_teachers_table_has_its_directions_and_perhaps_biases(name):
    """Of LightGCN it is said without its rounds of smoothing."""
    kind, form = FORMS.get(name, (name, {"layers": 0} if name == "lightgcn" else {}))
    settings = preset(kind, "tiny").with_changes(width=8, **form)
    model = build_student(settings, N_ITEMS, sequences=SEQUENCES)
    teacher = np.random.default_rng(0).normal(size=(N_ITEMS, 10)).astype(np.float32)
    start_from_teacher(model.free_item_vectors(), teacher)
    width = 7 if kind in ("linear", "matrix_factorisation") else 8
    table = model.fold().item_vectors().detach().numpy()
    np.testing.assert_allclose(table[:, :width], reduce_table(teacher, width), rtol=1e-6)
    assert table.shape == (N_ITEMS, 8)
    assert np.abs(table[:, width:]).max(initial=0) < 0.2  # biases are as small as ever


def test_dropout_is_for_training_alone(make):
    model, batch = make(embedding_dropout=0.5).train(), Batch.of([[1, 2, 3]])
    assert not torch.equal(model(batch)[0], model(batch)[0])
    np.testing.assert_array_equal(model.scores(batch), model.scores(batch))
    assert model.training


def test_items_outside_the_catalogue_are_refused(make):
    with pytest.raises(DataError, match=r"item 12 is outside the catalogue of 12 items"):
        make()(Batch.of([[12]]))


@pytest.mark.parametrize("kind", [kind for kind in student_kinds() if kind != "lightgcn"])
def test_a_batch_longer_than_it_reads_is_refused(kind):
    """LightGCN reads the newest items at each position of a longer one."""
    model = build_student(preset(kind, "tiny").with_changes(max_length=6), N_ITEMS)
    with pytest.raises(SettingsError, match="histories have 7 positions; expected at most 6"):
        model(Batch.of([[1] * 7]))


def test_what_is_shipped_is_what_the_folded_model_holds(make):
    model = make()
    shipped = count_shipped(model.settings, N_ITEMS)
    assert shipped.total == model.fold().n_parameters
    assert shipped.tables >= N_ITEMS * 8


# ---- an item at a time


@pytest.fixture(params=["gru", "lstm", "linear_recurrence"])
def streaming(request):
    """A student with a state."""
    return maker(request.param)(blocks=2) if request.param == "linear_recurrence" else maker(request.param)(layers=2)


def test_every_student_that_has_a_state_is_looked_at():
    assert {kind for kind in student_kinds() if hasattr(maker(kind)(), "update")} == {"gru", "linear_recurrence"}


def test_an_item_at_a_time_gives_the_vectors_of_the_whole_history(streaming):
    wanted, items = vectors(streaming, [1, 2, 3, 4], [5, 6, 7, 8]), streaming.item_vectors()
    state = streaming.start(2)
    with torch.no_grad():
        for at in range(4):
            state, got = streaming.update(state, torch.tensor([1, 5]) + at, items)
            torch.testing.assert_close(got, wanted[:, at], rtol=1e-4, atol=1e-4)


def test_states_of_some_histories_go_on_without_the_others(streaming):
    items = streaming.item_vectors()
    with torch.no_grad():
        state, _ = streaming.update(streaming.start(3), torch.tensor([1, 2, 3]), items)
        _, got = streaming.update(state[[2, 0]], torch.tensor([4, 5]), items)
    torch.testing.assert_close(got, vectors(streaming, [3, 4], [1, 5])[:, 1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([1, 2], r"next items have shape \(2,\); expected \(3,\), one for each state"),
        ([1, 2, N_ITEMS], "item 12 is outside the catalogue of 12 items"),
        ([-1, 2, 3], "item -1 is outside the catalogue of 12 items"),
    ],
)
def test_next_items_that_fit_no_state_or_no_catalogue_are_refused(streaming, items, message):
    with pytest.raises(DataError, match=message):
        streaming.update(streaming.start(3), torch.tensor(items), streaming.item_vectors())
