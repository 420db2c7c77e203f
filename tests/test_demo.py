"""The demo from end to end, on stand-ins for the real data set and the real language model."""

import re
import shlex
import shutil
import sys
import warnings

import pytest

import small_world
from distilrec import demo
from distilrec.cli import main
from distilrec.demo import demo_recipe
from distilrec.errors import SourceError
from distilrec.sources import Found

small, quick = small_world.small, small_world.quick  # fixtures

TINY = [
    *("--set", "teacher.model={width: 16, heads: 2}", "--set", "teacher.train={epochs: 2, batch_size: 16}"),
    *("--set", "student.model={width: 8}", "--set", "student.train={epochs: 2, batch_size: 16}"),
    *("--set", "teacher.content_width=6", "--set", "evaluate.latency_requests=10"),
    *("--set", "costs=null"),
]


@pytest.fixture
def typed(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["distilrec", *map(str, arguments)])
        with warnings.catch_warnings(action="default"), pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return call


@pytest.fixture
def stand_ins(small, tmp_path, monkeypatch):
    """The small world in the place of MovieLens-100K, the tiny encoder in that of all-MiniLM-L6-v2."""
    awkward = shutil.copytree(small.folder / "world", tmp_path / "my data #1: [old]")
    data = Found(awkward, "the cache", "MovieLens-100K")
    model = Found(small.folder / "encoder", "the installed package", "all-MiniLM-L6-v2")
    monkeypatch.setattr(demo, "find_movielens_100k", lambda folder=None, *, quiet: data)
    monkeypatch.setattr(demo, "find_minilm", lambda folder=None, *, quiet: model)
    monkeypatch.setattr("distilrec.encode.folder.find_minilm", lambda quiet: model)
    return data, model


def test_the_recipe_says_where_data_and_model_were_found(stand_ins, capsys, small):
    recipe = demo_recipe(model=small.folder / "encoder")
    assert recipe.data.path == stand_ins[0].path  # whatever characters are in it
    assert recipe.encode.model == str(small.folder / "encoder")
    said = capsys.readouterr().err
    assert f"MovieLens-100K: {stand_ins[0].path} (from the cache; digest checked)" in said
    assert "all-MiniLM-L6-v2:" in said


def test_a_model_that_was_not_named_goes_by_its_own_name(stand_ins):
    """Its folder may be called `model` or by a digest, which says nothing in a table."""
    assert demo_recipe(quiet=True).encode.model == "all-MiniLM-L6-v2"


def test_overrides_win(stand_ins, capsys):
    assert demo_recipe(overrides=["distil.alpha=0.25"], quiet=True).distil.alpha == 0.25
    assert capsys.readouterr().err == ""


def test_a_folder_that_does_not_hold_the_real_thing_is_refused(typed, small, tmp_path):
    """The user named it, so nothing else is tried."""
    (tmp_path / "ml").mkdir()
    for name in ("u.data", "u.item", "u.genre"):
        (tmp_path / "ml" / name).write_text("made up")
    code, _, err = typed("demo", "--data", tmp_path / "ml", "--model", small.folder / "encoder")
    assert code == 2
    assert re.search(r"error: .*ml: u\.data is not the file of MovieLens-100K that we know: SHA-256 is .*; exp", err)
    assert not (tmp_path / "runs").exists()


def test_a_model_folder_that_does_not_exist_is_refused(stand_ins, monkeypatch, tmp_path):
    monkeypatch.undo()
    with pytest.raises(SourceError, match="nowhere does not exist; expected a folder with u"):
        demo_recipe(data=tmp_path / "nowhere", quiet=True)


def test_the_demo_prints_the_table_a_verdict_recommendations_and_commands_that_work(typed, stand_ins, quick, tmp_path):
    code, out, err = typed("demo", *TINY)
    assert code == 0, err
    for title in ("popularity", "item-kNN", "EASE", "student alone", "teacher", "distilled student"):
        row = next(line for line in out.splitlines() if line.startswith(f"│ {title} "))
        assert len(re.findall(r"\d\.\d{4} \[\d\.\d{4}, \d\.\d{4}\]", row)) == 3
    assert re.search(r"(distilled student is (better|worse) than the student alone|no difference)", out, re.IGNORECASE)
    assert "(all-MiniLM-L6-v2, 20,000 parameters)" in out
    assert len(re.findall(r"^  \w+ thing \d+ +->  \w+ thing \d+$", out, re.MULTILINE)) == 5
    assert "(chosen next in fact: " in out
    assert "The distilled student is in runs/demo/artefact" in out

    commands = [shlex.split(line) for line in out.partition("\nNext:\n")[2].splitlines()]
    assert [command[:2] for command in commands] == [
        ["distilrec", name] for name in ("recommend", "compare", "check", "run")
    ]
    for command in commands:
        code, out, err = typed(*[str(stand_ins[0].path) if "PATH" in part else part for part in command[1:]])
        assert code == 0, err
    assert (tmp_path / "runs" / "mine" / "artefact").is_dir()


def test_a_second_demo_does_nothing_again(typed, stand_ins, quick):
    typed("demo", *TINY)
    code, out, _ = typed("demo", *TINY)
    assert code == 0
    assert ": started" not in out
    assert "distilled/seed-0: done before, kept" in out
