"""A proof trains each cell once, judges it once, and its controls are what they say."""

import shutil
from itertools import count

import numpy as np
import pytest
from quality_worlds import SOFT, all_of, proof_in, student

from distilrec import Recommender
from distilrec.data.batches import Windows
from distilrec.distil import loop
from distilrec.errors import ArtifactError, SettingsError
from distilrec.evaluate.evaluation import evaluate
from distilrec.knowledge import Knowledge
from distilrec.knowledge.shuffled import ShuffledKnowledge
from distilrec.run import stages
from distilrec.run.folder import FolderBusyError, RunFolder
from distilrec.run.quality.cells import Cell
from distilrec.run.quality.work import work_through
from distilrec.teach.teacher import VectorTeacher

METHODS = ["alone", "soft", "label_smoothing", "self_distillation", "shuffled_teacher", "alone_from_table"]


@pytest.fixture(scope="module")
def out(small):
    """The folder of a proof that is done; what else is put in it takes nothing away."""
    folder = small.folder.parent / "proof"
    proof, _ = proof_in(small, folder)
    assert work_through(proof, all_of(proof)) == []
    return folder


@pytest.fixture
def no_training(monkeypatch):
    def train(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(stages, "train_student", train)


class StoppedError(Exception):
    """Training was about to begin."""


@pytest.fixture
def learnt_from(monkeypatch):
    """What a cell's student would be trained with: its settings, and the knowledge."""

    def asked(proof, cell):
        caught = {}

        def train(model, settings, prepared, folder, **options):
            caught.update(model=model, train=settings, **options)
            raise StoppedError

        monkeypatch.setattr(stages, "train_student", train)
        shutil.rmtree(proof.folder(cell), ignore_errors=True)
        with pytest.raises(StoppedError):
            proof.work(cell)
        return caught

    return asked


@pytest.fixture
def fresh(small, out, tmp_path):
    """A copy of the finished proof, to be changed."""
    return proof_in(small, shutil.copytree(out, tmp_path / "proof"))[0]


def cell(method, seed=0):
    return Cell("small", method, seed)


def everything(windows):
    return windows.batch(np.arange(len(windows)))


# ---- once


def test_every_cell_is_done_and_has_a_curve(small, out):
    proof, _ = proof_in(small, out)
    assert [one.method for one in all_of(proof)] == METHODS
    for one in all_of(proof):
        found = proof.outcome(one)
        assert len(found.curve) == 2
        assert found.curve[found.best_epoch - 1] == found.validation == max(found.curve)
        assert found.parameters > 24 * 8


def test_nothing_is_trained_or_judged_twice(small, out, no_training):
    proof, said = proof_in(small, out)
    assert work_through(proof, all_of(proof)) == []
    assert said == []


def test_what_a_cell_is_called_does_not_matter(small, out, no_training):
    """Two names for one thing share a cell, and a method that gets another name keeps its results."""
    methods = {"renamed": SOFT, "plain": {"train": {}}, "smooth": {"train": {"label_smoothing": 0.1}}}
    proof, _ = proof_in(small, out, methods=methods)
    work_through(proof, all_of(proof))
    assert proof.folder(cell("plain")) == proof.folder(cell("alone"))
    assert proof.folder(cell("smooth")) == proof.folder(cell("label_smoothing"))


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": {"soft": {"distil": {"alpha": 0.6, "start_from_teacher": True}}}},
        {"methods": {"soft": {**SOFT, "train": {"weight_decay": 0.1}}}},
        {"methods": {"soft": {**SOFT, "knowledge": {"soft_labels": "top", "top_k": 5}}}},
        {"students": student(model={"width": 7, "max_length": 10})},
        {"evaluate": {"cutoffs": [5, 10], "metric": "ndcg@5"}},
        {"teacher": {"kind": "ids", "model": {"width": 15, "heads": 1, "max_length": 10}, "train": {"epochs": 1}}},
        {"seeds": [3]},
    ],
)
def test_whatever_changes_the_result_is_another_cell_and_takes_nothing_away(small, out, changes):
    changed, _ = proof_in(small, out, **changes)
    seed = changed.recipe.seeds[0]
    assert changed.outcome(cell("soft", seed)) is None
    assert proof_in(small, out)[0].outcome(cell("soft")) is not None


def test_items_that_only_a_teacher_could_name_make_no_other_student_alone(small, out):
    """They are left out there, and the masks are not."""
    places = {}
    for augment in ({"mask": 0.5}, {"mask": 0.5, "substitute": 0.5}):
        proof, _ = proof_in(small, out, students=student(train={"epochs": 2, "augment": augment}))
        for method in ("alone", "soft"):
            places.setdefault(method, set()).add(proof.folder(cell(method)))
    assert {method: len(found) for method, found in places.items()} == {"alone": 1, "soft": 2}


def test_what_changes_only_the_speed_is_no_other_cell(small, out):
    shape, train = {"width": 8, "max_length": 10}, {"epochs": 2, "batch_size": 16, "checkpoint_seconds": 1}
    changed, _ = proof_in(small, out, students=student(model=shape, train=train))
    assert all(changed.outcome(one) is not None for one in all_of(changed))


@pytest.mark.parametrize("seconds", [0, 60], ids=["after each batch", "after each epoch"])
def test_an_interrupt_in_training_changes_no_number(small, fresh, out, monkeypatch, seconds):
    train = {"epochs": 2, "batch_size": 16, "checkpoint_seconds": seconds}
    proof, said = proof_in(small, fresh.out, students=student(train=train))
    whole = proof.outcome(cell("soft")).test.per_user
    shutil.rmtree(proof.folder(cell("soft")))
    steps, rate = count(), loop.rate_factor

    def interrupted(*arguments):
        if next(steps) == 6:  # in the second epoch of 4 batches
            raise KeyboardInterrupt
        return rate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "rate_factor", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work_through(proof, [cell("soft")])
    assert proof.outcome(cell("soft")) is None
    work_through(proof, [cell("soft")])
    assert "  trained: resumed" in said
    assert proof.outcome(cell("soft")).test.per_user.equals(whole)


def test_killed_between_training_and_judging_a_cell_is_only_judged(fresh, no_training):
    for test in fresh.folder(cell("soft")).glob("test-*"):
        shutil.rmtree(test)
    assert fresh.outcome(cell("soft")) is None
    work_through(fresh, [cell("soft")])
    assert fresh.outcome(cell("soft")) is not None


def test_a_cell_that_another_process_works_on_is_passed_over(small, fresh):
    proof, said = proof_in(small, fresh.out, seeds=[0, 5])
    busy = cell("alone", 5)
    with RunFolder(proof.folder(busy), say=said.append).locked():
        assert work_through(proof, [busy, cell("soft")]) == [busy]
        with pytest.raises(FolderBusyError):
            proof.work(busy)
    assert any(line.startswith("  passed over; another process is working in") for line in said)


def test_while_another_process_makes_the_teacher_what_needs_none_goes_on(small, tmp_path):
    proof, said = proof_in(small, tmp_path / "proof")
    with proof.shared.locked():
        assert work_through(proof, [cell("alone"), cell("soft")]) == [cell("soft")]
    assert any(line.startswith("teachers: passed over; another process is working in") for line in said)
    assert proof.outcome(cell("alone")) is not None
    assert proof.teachers() == {}


def test_progress_says_which_cell_and_how_much_time_is_left(small, fresh):
    proof, said = proof_in(small, fresh.out)
    shutil.rmtree(proof.folder(cell("alone_from_table")))
    work_through(proof, all_of(proof))
    assert said[0] == "cell 6 of 6: small/alone_from_table/0 (0 min so far, about 0 min left)"


# ---- numbers


def test_the_numbers_are_those_of_an_evaluation(small, out):
    proof, _ = proof_in(small, out)
    found = proof.outcome(cell("soft"))
    model = Recommender.from_pretrained(proof.folder(cell("soft")) / "trained" / "artefact")
    again = evaluate(model, proof.prepared.split.test, cutoffs=(5, 10), split="test", quiet=True)
    assert found.test.per_user.equals(again.per_user)
    assert found.validation == pytest.approx(stages.validator(proof.prepared, proof.recipe.evaluate)(model))
    shown = {item for history in proof.prepared.split.test.histories for item in best_ten(model, history)}
    assert found.coverage == len(shown) / 24
    relevant = proof.prepared.split.test.relevant.values
    of_tail = found.test.values("ndcg@10")[~np.isin(relevant, head(proof.prepared))]
    assert found.tail == of_tail.mean()


def best_ten(model, history):
    ids = model.items["item_id"].gather(history).to_list()
    return model.recommend(ids, k=10)["item_id"].to_list()


def head(prepared):
    """The most popular items until they hold a fifth of the events."""
    counts = np.bincount(prepared.split.train.values, minlength=24)
    order = np.argsort(-counts, kind="stable")
    return order[: 1 + np.searchsorted(np.cumsum(counts[order]), 0.2 * counts.sum())]


def test_the_teacher_is_judged_on_the_same_cases(small, out):
    proof, _ = proof_in(small, out)
    (teacher,) = proof.teachers().values()
    assert teacher.test.protocol == proof.outcome(cell("alone")).test.protocol
    assert teacher.parameters > proof.outcome(cell("alone")).parameters


# ---- controls


def test_alone_and_distilled_differ_in_the_teacher_alone(fresh, learnt_from):
    alone, soft = (learnt_from(fresh, cell(method)) for method in ("alone", "soft"))
    assert (alone["model"], alone["train"]) == (soft["model"], soft["train"])
    assert not {"knowledge", "distil"} & set(alone)
    assert isinstance(soft["knowledge"], Knowledge)
    assert soft["distil"].alpha == 0.5


def test_label_smoothing_is_the_student_alone_with_smoothed_labels(fresh, learnt_from):
    alone, smooth = (learnt_from(fresh, cell(method)) for method in ("alone", "label_smoothing"))
    assert smooth["train"] == alone["train"].with_changes(label_smoothing=0.1)
    assert "knowledge" not in smooth


def test_in_self_distillation_the_student_alone_of_the_same_seed_is_the_teacher(fresh, learnt_from):
    model = Recommender.from_pretrained(fresh.folder(cell("alone")) / "trained" / "artefact").model
    taught = learnt_from(fresh, cell("self_distillation"))
    assert np.array_equal(taught["knowledge"].item_vectors(), VectorTeacher(model).item_vectors())
    assert taught["distil"] == learnt_from(fresh, cell("soft"))["distil"]


def test_self_distillation_makes_its_own_teacher_where_there_is_none(small, fresh):
    proof, _ = proof_in(small, fresh.out, seeds=[4])
    work_through(proof, [cell("self_distillation", 4)])
    assert proof.outcome(cell("alone", 4)) is not None


def test_a_shuffled_teacher_says_of_each_window_what_it_said_of_another(fresh, learnt_from):
    taught, shuffled = (learnt_from(fresh, cell(method))["knowledge"] for method in ("soft", "shuffled_teacher"))
    assert isinstance(shuffled, ShuffledKnowledge)
    batch = everything(Windows.cut(fresh.prepared.split.train, max_length=10))
    ours, theirs = (source.soft_labels(batch)[0].history_vectors for source in (taught, shuffled))
    per_window = [vectors.reshape(60, -1) for vectors in (ours, theirs)]  # all windows are of one length
    assert not (per_window[0] == per_window[1]).all(axis=1).any()
    assert sorted(map(tuple, per_window[0])) == sorted(map(tuple, per_window[1]))
    assert not np.array_equal(taught.item_vectors(), shuffled.item_vectors())


def test_each_seed_shuffles_anew(small, fresh, learnt_from):
    proof, _ = proof_in(small, fresh.out, seeds=[0, 1])
    digests = [learnt_from(proof, cell("shuffled_teacher", seed))["knowledge"].digest() for seed in (0, 1)]
    assert digests[0] != digests[1]


def test_alone_from_the_table_hears_no_word_of_the_teacher(fresh, learnt_from):
    silent, taught = (learnt_from(fresh, cell(method)) for method in ("alone_from_table", "soft"))
    batch = everything(Windows.cut(fresh.prepared.split.train, max_length=10))
    assert silent["knowledge"].soft_labels(batch) == []
    assert np.array_equal(silent["knowledge"].item_vectors(), taught["knowledge"].item_vectors())
    assert silent["distil"].start_from_teacher


# ---- what a method needs besides knowledge


def test_layers_are_copied_from_the_teachers_model(small, fresh, learnt_from):
    methods = {"layers": {"distil": {"layers": {"blocks.0": "blocks.0"}}}}
    proof, _ = proof_in(small, fresh.out, methods=methods)
    (teacher,) = (proof.out / "shared" / "teachers").iterdir()
    expected = Recommender.from_pretrained(teacher / "artefact").model.state()
    given = learnt_from(proof, cell("layers"))["teacher"].state()
    assert all(np.array_equal(given[name], expected[name]) for name in expected)
    assert "teacher" not in learnt_from(proof, cell("shuffled_teacher"))


def test_the_teachers_advantage_is_measured_against_the_student_alone_of_the_same_seed(small, fresh, learnt_from):
    proof, _ = proof_in(small, fresh.out, methods={"trust": {"distil": {"trust": {"advantage": 1.0}}}})
    measured = learnt_from(proof, cell("trust"))["advantage"]
    positions = Windows.cut(proof.prepared.split.train, max_length=10).positions
    assert measured.shape == (positions.sum(),)
    assert proof.told(cell("trust"))["measured_against"] == proof.told(cell("alone"))


# ---- teachers


def saved(fresh):
    """The teacher and the data of a finished proof, as another one is given them."""
    (teacher,), (data,) = ((fresh.out / "shared" / name).iterdir() for name in ("teachers", "data"))
    return {"data": None, "prepared": data, "teacher": {"kind": "saved", "model": str(teacher)}}


def test_a_saved_teacher_and_its_data_are_used_as_they_are(small, fresh, tmp_path):
    proof, _ = proof_in(small, tmp_path / "other", **saved(fresh))
    work_through(proof, [cell("soft")])
    assert proof.teachers()["teacher"].test.per_user.equals(fresh.teachers()["teacher"].test.per_user)
    assert proof.outcome(cell("soft")).test.per_user.equals(fresh.outcome(cell("soft")).test.per_user)
    assert not (tmp_path / "other" / "shared" / "teachers").exists()


def test_where_a_saved_teacher_lies_does_not_matter_and_what_it_is_does(small, fresh, tmp_path):
    given = saved(fresh)
    moved = shutil.copytree(given["teacher"]["model"], tmp_path / "moved")
    places = [proof_in(small, tmp_path, **given)[0].folder(cell("soft"))]
    given["teacher"]["model"] = str(moved)
    places.append(proof_in(small, tmp_path, **given)[0].folder(cell("soft")))
    config = moved / "artefact" / "config.json"
    config.write_text(config.read_text() + "\n")
    places.append(proof_in(small, tmp_path, **given)[0].folder(cell("soft")))
    assert places[0] == places[1] != places[2]


def test_a_saved_teacher_that_is_not_there_is_named(small, fresh, tmp_path):
    given = {**saved(fresh), "teacher": {"kind": "saved", "model": "nowhere"}}
    told = r"nowhere/artefact/config\.json does not exist; expected the folder of a finished teacher\. Make it first"
    with pytest.raises(ArtifactError, match=told):
        proof_in(small, tmp_path, **given)[0].judge_teachers()


def test_a_method_may_have_another_teacher_who_is_judged_too(small, fresh):
    methods = {"soft": SOFT, "by_ease": {"distil": {"start_from_teacher": False}, "teacher": "ease"}}
    others = {"ease": {"kind": "ease", "model": {"l2": 3}}}
    proof, _ = proof_in(small, fresh.out, methods=methods, other_teachers=others)
    work_through(proof, [cell("by_ease")])
    assert list(proof.teachers()) == ["teacher", "ease"]
    assert proof.outcome(cell("by_ease")) is not None


def test_an_ensemble_of_saved_and_new_teachers_is_one_teacher(small, fresh, tmp_path):
    given = saved(fresh)
    members = [given["teacher"], {"kind": "ease", "model": {"l2": 3}}]
    given["teacher"] = {"kind": "ensemble", "members": members, "weights": [0.5, 0.5]}
    proof, _ = proof_in(small, tmp_path, **given)
    work_through(proof, [cell("soft")])
    assert proof.teachers()["teacher"].parameters > fresh.teachers()["teacher"].parameters


def test_a_cross_fitted_teacher_is_made_from_the_one_that_is_there(small, fresh):
    methods = {"soft": SOFT, "cross": {**SOFT, "knowledge": {"soft_labels": "whole", "folds": 2}}}
    proof, _ = proof_in(small, fresh.out, methods=methods)
    work_through(proof, [cell("cross")])
    folders = list((proof.out / "shared" / "teachers").iterdir())
    folded = [folder for folder in folders if (folder / "folds" / "folds.json").is_file()]
    assert (len(folders), len(folded)) == (2, 1)
    parts = [Knowledge.open(folder).parts for folder in (proof.out / "shared" / "knowledge").iterdir()]
    assert [0, 1] in [[part.fold for part in found] for found in parts]


def test_a_saved_teacher_cannot_be_cross_fitted(small, fresh, tmp_path):
    proof, _ = proof_in(small, tmp_path, **saved(fresh), methods={"cross": {**SOFT, "knowledge": {"folds": 2}}})
    with pytest.raises(
        SettingsError, match=r"knowledge\.folds is 2, and the teacher is saved, so it cannot be trained"
    ):
        proof.work(cell("cross"))


def test_a_live_teacher_teaches_and_is_not_shuffled(small, fresh, learnt_from):
    live = {**SOFT, "knowledge": {"source": "live"}}
    proof, _ = proof_in(small, fresh.out, methods={"live": live})
    assert isinstance(learnt_from(proof, cell("live"))["knowledge"], VectorTeacher)
    with pytest.raises(SettingsError, match=r"shuffled_teacher shuffles what is on disk; set knowledge\.source=disk"):
        proof.work(cell("shuffled_teacher"))


def test_a_teacher_that_reads_vectors_gets_those_of_the_encoder(small, tmp_path):
    teacher = {"model": {"width": 16, "max_length": 10}, "content_width": 6, "train": {"epochs": 1, "batch_size": 16}}
    encode = {"model": str(small.folder / "encoder"), "template": "{title}"}
    proof, _ = proof_in(small, tmp_path, teacher=teacher, encode=encode)
    proof.judge_teachers()
    assert list(proof.teachers()) == ["teacher"]
    assert len(list((tmp_path / "shared" / "vectors").iterdir())) == 1


def test_a_proof_has_its_data_prepared_once(small, out, monkeypatch):
    monkeypatch.setattr(stages, "prepare", None)
    assert proof_in(small, out)[0].prepared.interactions.n_items == 24
