"""A recipe whose teacher is what teachers said before, in folders."""

import shutil

import pytest

from distilrec.errors import KnowledgeError, SettingsError
from distilrec.evaluate.evaluation import Evaluation


def said_in(*folders, weights=None):
    """The override that names folders of knowledge."""
    named = ", ".join(str(folder) for folder in folders)
    shares = "" if weights is None else f", weights: {weights}"
    return f"teacher={{kind: knowledge, folders: [{named}]{shares}}}"


def test_a_folder_of_what_the_teacher_said_teaches_as_the_teacher_did(small, finished, tmp_path, quick):
    run, _ = small.run(tmp_path / "out", said_in(finished.folder / "knowledge"))
    ours, theirs = (Evaluation.load(f.folder / "evaluation/distilled").per_user for f in (run, finished))
    assert ours.equals(theirs)
    assert not (run.folder / "teacher").exists()


def test_shares_and_contents_of_folders_decide_the_student(small, finished, tmp_path, quick):
    first, second = finished.folder / "knowledge", tmp_path / "copy"
    shutil.copytree(first, second)
    small.run(tmp_path / "out", said_in(first, second, weights=[0.7, 0.3]))
    _, said = small.run(tmp_path / "out", said_in(first, second, weights=[0.6, 0.4]))
    assert [line for line in said if line.endswith(": started")] == [
        "distilled/seed-0: started",
        "evaluation/distilled: started",
        "latency: started",
    ]


@pytest.mark.parametrize(
    ("weights", "told"),
    [([0.5, 0.6], "sum to 1.1; expected 1"), ([1.0], "2 teachers have the weights 1; expected one for")],
)
def test_shares_that_make_no_sense_are_refused_before_anything_is_trained(small, finished, tmp_path, weights, told):
    folder = finished.folder / "knowledge"
    with pytest.raises(SettingsError, match=told):
        small.run(tmp_path / "out", said_in(folder, folder, weights=weights))
    assert not (tmp_path / "out/student_alone").exists()


def test_a_folder_that_is_no_knowledge_is_named(small, tmp_path):
    with pytest.raises(KnowledgeError, match="absent holds no manifest"):
        small.run(tmp_path / "out", said_in(tmp_path / "absent"))


def test_folders_without_item_vectors_are_no_start_for_a_student(small, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("distilrec.knowledge.Knowledge.item_vectors", lambda _: None)
    with pytest.raises(SettingsError, match=r"none of teacher\.folders holds item vectors; set distil\.start_from"):
        small.run(tmp_path / "out", said_in(finished.folder / "knowledge"))


def test_layers_and_measured_advantage_need_a_model(small, finished):
    with pytest.raises(SettingsError, match="a teacher of kind knowledge has none; take one network"):
        small.recipe(said_in(finished.folder / "knowledge"), "distil.layers={blocks.0: blocks.0}")
    with pytest.raises(SettingsError, match="a teacher of kind knowledge is no model that could"):
        small.recipe(said_in(finished.folder / "knowledge"), "distil.trust={advantage: 1.0}")
