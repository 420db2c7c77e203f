"""Knowledge of teachers that only rank: what decides it, and where it lies."""

import shutil

import pytest

from distilrec.config import parse
from distilrec.knowledge import Knowledge
from distilrec.run.ranked import decides_ranks, ranked_knowledge
from distilrec.run.recipe import TeacherAndKnowledge
from distilrec.run.teacher_stages import OutsideTeacher, ZeroShotTeacher
from distilrec.run.teaching import teach
from tiny_bodies import save_tiny_body, shared_body


@pytest.fixture
def body(tmp_path_factory):
    return shared_body("gpt2", tmp_path_factory.getbasetemp())


def asked(body, template="{title}", **changes):
    stage = ZeroShotTeacher(kind="zero_shot", model=str(body), **changes)
    return decides_ranks(stage, template=template, quiet=True)


def test_a_zero_shot_teacher_depends_on_its_model_the_template_and_its_settings(body, tmp_path):
    assert asked(body) == asked(shutil.copytree(body, tmp_path / "copy"))  # wherever it lies
    others = [asked(body, template="{cluster}"), asked(body, prompt="movies"), asked(body, candidates=5)]
    other_model = shared_body("llama", tmp_path.parent)
    assert all(other != asked(body) for other in [*others, asked(other_model)])


def test_a_prompt_of_ones_own_counts_by_its_text(body, tmp_path):
    asked_with = []
    for text in ("Seen: {history}. Next:", "Had: {history}. Next:"):
        (tmp_path / "prompt.txt").write_text(text)
        asked_with.append(asked(body, prompt=str(tmp_path / "prompt.txt")))
    assert asked_with[0] != asked_with[1]


def test_outside_lists_depend_on_what_is_in_their_files(tmp_path):
    def decides(text, template=None):
        (tmp_path / "lists.jsonl").write_text(text)
        stage = OutsideTeacher(kind="outside", rankings=tmp_path / "lists.jsonl")
        return decides_ranks(stage, template=template)

    assert decides("a") != decides("b")
    assert decides("a") == decides("a", template="{title}")  # which they do not read


def test_what_a_zero_shot_teacher_said_lies_beside_the_knowledge_made_of_it(finished, tmp_path):
    model = save_tiny_body("gpt2", tmp_path / "gpt2", n_positions=256)
    values = {"kind": "zero_shot", "model": str(model), "candidates": 3, "users": 4}
    told, found = teach(
        parse(TeacherAndKnowledge, {"teacher": values}), finished.prepared, tmp_path / "out", quiet=True
    )
    assert found.folder == tmp_path / "out/knowledge"
    assert (found.folder / "rankings.parquet").is_file()
    assert "4 lists of 12 items" in told
    stage = ZeroShotTeacher(**values)
    again, _ = ranked_knowledge(stage, finished.prepared, tmp_path / "again", max_length=50, quiet=True)
    assert again.digest() == Knowledge.open(found.folder).digest()
