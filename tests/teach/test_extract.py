"""What a teacher says is the same on disk, live, and asked directly; a student can not tell them apart."""

import tracemalloc

import numpy as np
import pytest
import torch
from small_teachers import EXACT, N_ITEMS, SEQUENCES, ease, network, shares, take

from distilrec.data.batches import Windows
from distilrec.distil.loop import train
from distilrec.distil.settings import DistilSettings, TrainSettings
from distilrec.errors import KnowledgeError, SettingsError
from distilrec.knowledge import KnowledgeWriter
from distilrec.models.ensemble import Ensemble
from distilrec.models.popularity import Popularity
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import VectorTeacher, as_teacher
from distilrec.types import Ragged


@pytest.mark.parametrize("most", [7, 8192])
def test_disk_live_and_a_direct_question_agree(tmp_path, teacher, windows, most):
    found = take(teacher, tmp_path, windows, most_windows_per_shard=most)
    batch = windows.batch(np.array([3, 20, 0, 11]))
    with torch.no_grad():
        history, items = teacher.eval()(batch)
    for source in (found, VectorTeacher(teacher)):
        (part,) = source.soft_labels(batch)
        np.testing.assert_allclose(part.history_vectors, history.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(part.item_vectors, items.numpy(), rtol=1e-4, atol=1e-6)


def test_half_the_bytes_cost_a_thousandth_of_a_vector(tmp_path, teacher, windows):
    half = take(teacher, tmp_path / "a", windows, KnowledgeSettings(soft_labels="whole"))
    exact = take(teacher, tmp_path / "b", windows)
    batch = windows.batch(np.arange(5))
    np.testing.assert_allclose(
        half.soft_labels(batch)[0].history_vectors, exact.soft_labels(batch)[0].history_vectors, rtol=1e-3, atol=1e-4
    )
    assert half.columns["history_vectors"].dtype == "float16"


def test_the_best_of_each_position_with_the_mass_of_the_rest(tmp_path, teacher, windows):
    """Lists of 3 tell those 3 items' probabilities exactly, and of the other 7 what they sum to."""
    found = take(teacher, tmp_path, windows, EXACT.with_changes(soft_labels="top", top_k=3))
    batch = windows.batch(np.arange(6))
    (lists,), whole = found.soft_labels(batch), shares(VectorTeacher(teacher), batch)
    best = np.sort(whole, axis=1)[:, ::-1][:, :3]
    np.testing.assert_allclose(np.exp(lists.logits - lists.log_sums[:, None]), best, rtol=1e-4)
    np.testing.assert_allclose(shares(found, batch).sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_array_equal(lists.items[:, 0], whole.argmax(axis=1))


def left_out_on_average(every, k):
    """The literal proportions, from probabilities [P, N]: an item's share of what is left, where it is left out."""
    left_out = every < np.sort(every, axis=1)[:, -k, None]  # [P, N]
    rest = (every * left_out).sum(axis=1, keepdims=True)
    found = (every * left_out).sum(axis=0) / np.maximum((rest * left_out).sum(axis=0), 1e-30)
    return found / found.sum()


@pytest.mark.parametrize("soft_labels", ["top", "both"])
def test_what_lists_leave_out_is_shared_as_it_is_on_average(tmp_path, teacher, windows, soft_labels):
    """Few windows, so the sample is all of them; they are no longer than what is taken of each."""
    found = take(teacher, tmp_path, windows, EXACT.with_changes(soft_labels=soft_labels, top_k=3))
    wanted = left_out_on_average(shares(VectorTeacher(teacher), windows.batch(np.arange(len(windows)))), 3)
    lists = found.lists(windows.batch(np.arange(6)))
    np.testing.assert_allclose(lists.tail, wanted, rtol=1e-3)
    assert lists.tail.dtype == np.float32
    assert lists.tail is found.lists(windows.batch(np.arange(2))).tail


def test_the_tail_can_be_even(tmp_path, teacher, windows):
    settings = EXACT.with_changes(soft_labels="top", top_k=3)
    even = take(teacher, tmp_path / "even", windows, settings.with_changes(tail="even"))
    batch = windows.batch(np.arange(6))
    assert even.lists(batch).tail is None
    assert "tail" not in even.manifest["tables"]
    mean = take(teacher, tmp_path / "mean", windows, settings)
    error = [np.abs(shares(one, batch) - shares(VectorTeacher(teacher), batch)).sum() for one in (mean, even)]
    assert error[0] < error[1]


def test_each_member_that_only_scores_has_a_tail_of_its_own(tmp_path, windows):
    other = ease(l2=100)
    ensemble = Ensemble.of([ease(), network(0).fold(), other], weights=[0.5, 0.3, 0.2], temperatures=[0.1, 1, 0.1])
    found = take(ensemble, tmp_path, windows, EXACT.with_changes(top_k=4))
    batch = windows.batch(np.arange(len(windows)))
    assert {"tail_0", "tail_2"} == {name for name in found.manifest["tables"] if name.startswith("tail")}
    parts = found.soft_labels(batch)
    for number, member in ((0, ease()), (2, other)):
        alone = as_teacher(Ensemble.of([member, member], weights=[0.5, 0.5], temperatures=[0.1, 0.1]))
        np.testing.assert_allclose(
            parts[number].tail, left_out_on_average(shares(alone, batch), 4), rtol=1e-3, atol=1e-6
        )


def test_a_tail_is_the_mean_over_the_middles_of_equal_shares_of_some_windows(tmp_path, teacher, windows, monkeypatch):
    """Two positions of a window at most, and six in all: of every window's length l, l // 4 and 3 * l // 4."""
    monkeypatch.setattr("distilrec.teach.extract._TAIL_POSITIONS", 6)
    monkeypatch.setattr("distilrec.teach.extract._OF_A_WINDOW", 2)
    tail = take(teacher, tmp_path, windows, EXACT.with_changes(soft_labels="top", top_k=3)).table("tail")
    counts = np.minimum(windows.positions, 2)
    chosen = np.linspace(0, len(windows) - 1, int(6 / counts.mean())).astype(int)
    assert 1 < len(chosen) <= 6
    told = [shares(VectorTeacher(teacher), windows.batch(np.array([window]))) for window in chosen]
    some = [one[[len(one) // 4, 3 * len(one) // 4] if len(one) > 1 else [0]] for one in told]
    np.testing.assert_allclose(tail, left_out_on_average(np.concatenate(some), 3), rtol=1e-3, atol=1e-4)


def test_items_that_are_always_listed_have_next_to_nothing_of_the_tail_but_not_nothing(tmp_path, windows):
    """Popularity lists the same three everywhere."""
    popularity = Popularity.fit(SEQUENCES, n_items=N_ITEMS)
    found = take(popularity, tmp_path, windows, EXACT.with_changes(top_k=3))
    lists = found.lists(windows.batch(np.arange(1)))
    always = lists.tail[lists.items[0]]
    assert (always > 0).all()
    assert always.sum() == pytest.approx(3 * 1e-4 / N_ITEMS, rel=1e-2)
    assert lists.tail.sum() == pytest.approx(1)


def test_lists_of_the_whole_catalogue_have_no_tail(tmp_path, windows):
    assert "tail" not in take(ease(), tmp_path, windows).manifest["tables"]


def test_a_model_that_only_scores_gives_lists_of_every_position(tmp_path, windows):
    """EASE scores all positions at once, popularity history by history; both must be asked about beginnings."""
    for name, model in {"ease": ease(), "popularity": Popularity.fit(SEQUENCES, n_items=N_ITEMS)}.items():
        found = take(model, tmp_path / name, windows, EXACT.with_changes(top_k=N_ITEMS))
        batch = windows.batch(np.array([4, 9]))
        alone = [batch.items[row, : end + 1] for row in range(2) for end in range(batch.lengths[row])]
        logits = model.scores(type(batch).of(alone)).astype(np.float64)
        wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shares(found, batch), wanted, atol=1e-5)
        assert found.item_vectors() is None


def test_lists_are_no_longer_than_the_catalogue(tmp_path, windows):
    assert take(ease(), tmp_path, windows).columns["top_items"].shape == (N_ITEMS,)


def test_an_ensemble_is_the_weighted_mean_of_its_members(tmp_path, windows):
    one, two = network(0), network(1)
    ensemble = Ensemble.of([one.fold(), two.fold(), ease()], weights=[0.5, 0.3, 0.2], temperatures=[1, 2, 1])
    batch = windows.batch(np.array([2, 7]))
    parts = [shares(as_teacher(member), batch) for member in (one, ease())]
    (second,) = as_teacher(two).soft_labels(batch)
    warm = np.exp(second.history_vectors @ second.item_vectors.T / 2)
    wanted = 0.5 * parts[0] + 0.3 * warm / warm.sum(axis=1, keepdims=True) + 0.2 * parts[1]
    np.testing.assert_allclose(shares(as_teacher(ensemble), batch), wanted, atol=1e-5)
    whole = take(ensemble, tmp_path / "whole", windows, EXACT.with_changes(top_k=N_ITEMS))
    np.testing.assert_allclose(shares(whole, batch), wanted, atol=1e-5)
    assert [part.form for part in whole.parts] == ["factors", "factors", "lists"]
    lists = take(ensemble, tmp_path / "top", windows, EXACT.with_changes(soft_labels="top", top_k=N_ITEMS))
    np.testing.assert_allclose(shares(lists, batch), wanted, atol=1e-5)


def test_hidden_states_attention_and_relations_are_taken_in_the_same_pass(tmp_path, teacher, windows):
    settings = EXACT.with_changes(
        hidden=("blocks.0", "norm"), attention=("blocks.0",), relations=("blocks.0",), relation_heads=4
    )
    found = take(teacher, tmp_path, windows, settings, most_windows_per_shard=7)
    batch = windows.batch(np.array([11, 2]))
    np.testing.assert_allclose(
        found.column("hidden.norm", batch), found.soft_labels(batch)[0].history_vectors, atol=1e-6
    )
    assert found.column("hidden.blocks.0", batch).shape == (batch.lengths.sum(), 16)
    attention = found.column("attention.blocks.0", batch)
    first = int(batch.lengths[0])
    assert attention.shape == ((batch.lengths**2).sum(), 2)
    square = attention[: first**2].reshape(first, first, 2)
    np.testing.assert_allclose(square.sum(axis=1), 1, rtol=1e-5)  # each position shares out one
    assert not square[np.triu_indices(first, 1)].any()  # and nothing to what comes later
    hidden = found.column("hidden.blocks.0", batch)[:first].reshape(first, 4, 4)  # [L, heads, 4]
    scores = np.einsum("ihd,jhd->ijh", hidden, hidden) / 2
    scores[np.triu_indices(first, 1)] = -np.inf
    wanted = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    relation = found.column("relation.blocks.0", batch)[: first**2].reshape(first, first, 4)
    np.testing.assert_allclose(relation, wanted, atol=1e-5)
    assert set(found.manifest["kinds"]) >= {"soft_labels", "hidden.norm", "attention.blocks.0", "relation.blocks.0"}


def test_relations_of_other_heads_than_the_settings_ask_for_are_refused(tmp_path, teacher, windows):
    settings = EXACT.with_changes(relations=("blocks.0",), relation_heads=4)
    with pytest.raises(SettingsError, match=r"relation_heads is 4, but the teacher splits blocks\.0 into 1; open it"):
        take(as_teacher(teacher), tmp_path, windows, settings)


def test_factors_may_have_the_best_items_beside_them(tmp_path, teacher, windows):
    """The soft labels stay whole, and the lists are what would be cut from them."""
    found = take(teacher, tmp_path / "both", windows, EXACT.with_changes(soft_labels="both", top_k=3))
    whole, batch = take(teacher, tmp_path / "whole", windows), windows.batch(np.arange(6))
    np.testing.assert_allclose(shares(found, batch), shares(whole, batch), rtol=1e-6)
    assert [part.form for part in found.parts] == ["factors"]
    lists, best = found.lists(batch), np.argsort(-shares(whole, batch), axis=1)[:, :3]
    np.testing.assert_array_equal(lists.items, best)
    wanted = np.take_along_axis(shares(whole, batch), best, axis=1)
    np.testing.assert_allclose(np.exp(lists.logits - lists.log_sums[:, None]), wanted, rtol=1e-4)
    assert "lists" in found.manifest["kinds"]
    assert whole.lists(batch) is None
    assert VectorTeacher(teacher).lists(batch) is None


def test_lists_beside_an_ensemble_are_of_the_whole_mixture(tmp_path, windows):
    ensemble = Ensemble.of([network(0).fold(), ease()], weights=[0.6, 0.4], temperatures=[1, 2])
    found = take(ensemble, tmp_path, windows, EXACT.with_changes(soft_labels="both", top_k=4))
    batch = windows.batch(np.arange(6))
    mixed = shares(as_teacher(ensemble), batch)
    lists = found.lists(batch)
    np.testing.assert_array_equal(lists.items, np.argsort(-mixed, axis=1)[:, :4])
    np.testing.assert_allclose(np.exp(lists.logits[:, 0] - lists.log_sums), mixed.max(axis=1), rtol=1e-4)
    assert [part.form for part in found.parts] == ["factors", "lists"]


def test_a_teacher_that_gives_lists_anyway_has_none_beside_them(tmp_path, windows):
    found = take(ease(), tmp_path, windows, EXACT.with_changes(soft_labels="both", top_k=3))
    batch = windows.batch(np.arange(4))
    assert list(found.columns) == ["top_items", "top_logits", "top_log_sums"]
    np.testing.assert_array_equal(found.lists(batch).items, found.soft_labels(batch)[0].items)


def test_hidden_states_can_be_taken_without_soft_labels(tmp_path, teacher, windows):
    found = take(teacher, tmp_path, windows, EXACT.with_changes(soft_labels="none", hidden=("blocks.0",)))
    assert (list(found.columns), found.parts) == (["hidden.blocks.0"], [])
    np.testing.assert_allclose(found.item_vectors(), VectorTeacher(teacher).item_vectors())


def test_user_vectors_are_those_after_the_whole_history(tmp_path, teacher, windows):
    users = Ragged.of([*SEQUENCES, []])
    found = take(teacher, tmp_path, windows, EXACT.with_changes(user_vectors=True), users=users)
    vectors = found.table("user_vectors")
    scores = teacher.scores(type(windows.batch(np.zeros(1, dtype=np.int64))).of([SEQUENCES[3]]))
    np.testing.assert_allclose(vectors[3] @ found.item_vectors().T, scores[0], atol=1e-4)
    assert len(vectors) == 31
    assert not vectors[30].any()  # nothing is known of the last user


def test_user_vectors_are_read_back_and_none_where_none_were_kept(tmp_path, teacher, windows):
    found = take(teacher, tmp_path / "a", windows, EXACT.with_changes(user_vectors=True), users=SEQUENCES)
    np.testing.assert_array_equal(found.user_vectors(), found.table("user_vectors"))
    assert take(teacher, tmp_path / "b", windows).user_vectors() is None
    assert VectorTeacher(teacher).user_vectors() is None


def test_user_vectors_are_the_same_written_in_chunks(tmp_path, teacher, windows, monkeypatch):
    tables = []
    for chunk in (8192, 7):
        monkeypatch.setattr("distilrec.teach.user_vectors._CHUNK_USERS", chunk)
        settings = KnowledgeSettings(soft_labels="whole", user_vectors=True)
        tables.append(take(teacher, tmp_path / str(chunk), windows, settings, users=SEQUENCES).user_vectors())
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-3)
    assert tables[1].dtype == np.float16


@pytest.mark.parametrize(("factor", "message"), [(np.nan, "NaN or infinity"), (1e6, ".*, which float16 cannot")])
def test_user_vectors_that_are_broken_or_too_large_are_refused(tmp_path, windows, factor, message):
    class Broken(VectorTeacher):
        def history_vectors(self, batch):
            return super().history_vectors(batch) * (1 if batch.rows is not None else factor)

    settings = KnowledgeSettings(soft_labels="whole", user_vectors=True)
    with pytest.raises(KnowledgeError, match=f"the table user_vectors holds {message}"):
        take(Broken(network()), tmp_path, windows, settings, users=SEQUENCES)
    assert not (tmp_path / "user_vectors.npy").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": ("blocks.7",)}, r"the teacher has no layer 'blocks.7'; near it are blocks"),
        ({"attention": ("norm",)}, "norm gives no attention weights"),
        ({"hidden": ("table",)}, r"table gives no \[B, L, H\] tensor"),
        ({"relations": ("norm",), "relation_heads": 3}, "norm has width 16, which does not divide by 3 relation heads"),
        ({"soft_labels": "none"}, "nothing is to be taken out of the teacher"),
        ({"user_vectors": True}, "user vectors need the users' histories"),
    ],
)
def test_what_the_teacher_cannot_give_is_named(tmp_path, teacher, windows, changes, message):
    with pytest.raises(SettingsError, match=message):
        take(teacher, tmp_path, windows, EXACT.with_changes(**changes))


def test_layers_of_something_that_is_no_network_are_refused(tmp_path, windows):
    ensemble = Ensemble.of([network(0).fold(), ease()], weights=[0.5, 0.5], temperatures=[1, 1])
    for model, why in [(ease(), "ease gives scores and has no layers"), (ensemble, "an ensemble has no layers of its")]:
        with pytest.raises(KnowledgeError, match=rf"the teacher has no hidden\.blocks\.0: {why}"):
            take(model, tmp_path, windows, EXACT.with_changes(hidden=("blocks.0",), top_k=3))
        with pytest.raises(KnowledgeError, match=why):
            as_teacher(model).column("hidden.blocks.0", windows.batch(np.zeros(1, dtype=np.int64)))
        assert as_teacher(model).columns == ()


def test_no_extraction_setting_is_left_out():
    """Source, memory and folds are tested with the stages and below; the others above."""
    tested = {"soft_labels", "top_k", "hidden", "attention", "relations", "relation_heads", "user_vectors", "dtype"} | {
        "tail"
    }
    assert KnowledgeSettings.model_fields.keys() == tested | {"source", "memory_mb", "folds"}


def test_a_student_of_either_is_the_same_student(tmp_path, teacher, windows):
    students = []
    for source in (take(teacher, tmp_path, windows), VectorTeacher(teacher)):
        torch.manual_seed(1)
        student = Transformer(TransformerSettings(width=8, max_length=4), N_ITEMS)
        train(
            student,
            windows,
            validate=lambda model: 0.0,
            settings=TrainSettings(epochs=4, batch_size=8, precision="float32"),
            knowledge=source,
            distil=DistilSettings(temperature=2),
            quiet=True,
        )
        students.append(student.state())
    for name, array in students[0].items():
        np.testing.assert_allclose(array, students[1][name], atol=1e-4)


def test_the_manifest_names_the_teacher_the_windows_and_how_sure_it_is(tmp_path, teacher, windows):
    manifest = take(teacher, tmp_path, windows, about={"teacher": {"kind": "demo"}, "max_length": 4}).manifest
    assert (manifest["teacher"], manifest["max_length"]) == ({"kind": "demo"}, 4)
    assert manifest["teacher_digest"] == VectorTeacher(teacher).digest()
    assert manifest["windows_digest"] == windows.digest()
    assert 0.1 < manifest["sharpness"]["top_probability"] < 0.3  # untrained: not much more than one in ten
    assert manifest["warnings"] == []


def test_a_teacher_that_is_too_sure_of_itself_is_warned_of(tmp_path, teacher, windows):
    with torch.no_grad():
        teacher.norm.weight.mul_(1000)
    (warning,) = take(teacher, tmp_path, windows).manifest["warnings"]
    assert "the soft labels are nearly one-hot" in warning


def test_a_killed_extraction_asks_only_for_what_is_missing(tmp_path, teacher, windows):
    asked = []

    def make_batch(rows):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(rows)
        return windows.batch(rows)

    with pytest.raises(KeyboardInterrupt):
        take(teacher, tmp_path, windows, make_batch=make_batch, most_windows_per_shard=5)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert kept.keys() == {"history_vectors-00000.npy", "history_vectors-00001.npy"}
    found = take(teacher, tmp_path, windows, most_windows_per_shard=5)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in kept} == kept
    batch = windows.batch(np.arange(len(windows)))
    np.testing.assert_allclose(shares(found, batch), shares(VectorTeacher(teacher), batch), atol=1e-5)


def test_an_extraction_that_was_killed_ends_with_the_same_tail_and_asks_for_it_once(tmp_path, teacher, windows):
    settings, asked = EXACT.with_changes(soft_labels="top", top_k=3), []

    def make_batch(rows):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(rows)
        return windows.batch(rows)

    whole = take(teacher, tmp_path / "whole", windows, settings, most_windows_per_shard=5).table("tail")
    with pytest.raises(KeyboardInterrupt):
        take(teacher, tmp_path / "killed", windows, settings, make_batch=make_batch, most_windows_per_shard=5)
    found = take(teacher, tmp_path / "killed", windows, settings, most_windows_per_shard=5)
    np.testing.assert_array_equal(found.table("tail"), whole)
    written = (tmp_path / "killed" / "tail.npy").stat().st_mtime_ns
    take(teacher, tmp_path / "killed", windows, settings, most_windows_per_shard=5)
    assert (tmp_path / "killed" / "tail.npy").stat().st_mtime_ns == written


def test_a_better_trained_teacher_is_another_teacher(tmp_path, teacher, windows):
    first = take(teacher, tmp_path, windows).digest()
    with torch.no_grad():
        teacher.norm.bias.add_(1)
    assert take(teacher, tmp_path, windows).digest() != first


def test_a_teacher_that_reads_less_than_a_window_is_refused(tmp_path, teacher):
    longer = Windows.cut(Ragged.of([np.arange(8)]), max_length=7)
    with pytest.raises(SettingsError, match="histories have 7 positions; expected at most 4"):
        take(teacher, tmp_path, longer)


def test_a_teacher_full_of_nan_is_refused(tmp_path, windows):
    class Broken(VectorTeacher):
        def history_vectors(self, batch):
            return np.full_like(super().history_vectors(batch), np.nan)

    with pytest.raises(KnowledgeError, match="history_vectors of shard 0 holds NaN or infinity; the teacher is broken"):
        take(Broken(network()), tmp_path, windows)


@pytest.mark.parametrize("soft_labels", ["whole", "top"])
def test_memory_does_not_grow_with_the_users(tmp_path, soft_labels):
    """Twenty times the users, and the same peak but for the list of window lengths; the bound holds for both."""
    peaks = {}
    for users in (400, 8_000):
        windows = Windows.cut(Ragged.of([np.arange(5) % N_ITEMS] * users), max_length=4)
        teacher, folder = as_teacher(network()), tmp_path / str(users)
        tracemalloc.start()
        take(
            teacher,
            folder,
            windows,
            KnowledgeSettings(memory_mb=16, soft_labels=soft_labels, top_k=5),
            most_windows_per_shard=200,
        )
        peaks[users] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[8_000] - peaks[400] < 2**20 < peaks[8_000] < 16 * 2**20


def test_the_memory_asked_for_decides_how_much_is_worked_on_at_once(tmp_path, teacher, windows, monkeypatch):
    shards = []
    begin = KnowledgeWriter.__init__

    def note(self, *arguments, **options):
        shards.append(options["windows_per_shard"])
        begin(self, *arguments, **options)

    monkeypatch.setattr(KnowledgeWriter, "__init__", note)
    for memory in (16, 64):
        take(teacher, tmp_path, windows, EXACT.with_changes(memory_mb=memory), most_windows_per_shard=10**9)
    assert shards[1] == 4 * shards[0] == 4 * (16 * 2**20 // 2 // (16 * 4 * 4))
