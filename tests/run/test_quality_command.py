"""`python benchmarks/quality.py`, from the command line to the files."""

import runpy
import sys
from pathlib import Path

import polars as pl
import pytest

from distilrec.run import stages

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(small, tmp_path, monkeypatch, capsys):
    """Runs the smoke recipe on the small world, and gives what was printed."""

    def call(*options):
        given = [
            "--out",
            tmp_path / "out",
            "--results",
            tmp_path / "results",
            "--set",
            f"data.path={small.folder}/world",
        ]
        quick = ["--set", "students.small.train.batch_size=16", "--set", "students.wider.train.batch_size=16"]
        recipe = ROOT / "recipes" / "quality" / "smoke.yaml"
        argv = ["quality.py", recipe, *given, *quick, "--set", "evaluate.cutoffs=[5, 10]", *options]
        monkeypatch.setattr(sys, "argv", [str(value) for value in argv])
        runpy.run_path(str(ROOT / "benchmarks" / "quality.py"), run_name="__main__")
        return capsys.readouterr().out

    return call


def test_a_partial_run_prints_what_it_has_and_a_second_call_does_the_rest(bench, tmp_path, monkeypatch):
    assert "No cell is done yet." in bench("--print")
    assert not (tmp_path / "results").exists()
    said = bench("--only", "small/(alone|soft_labels)/", "--seeds", "0")
    assert "cell 2 of 2: small/soft_labels/0" in said
    assert "2 of 12 cells are done" in said
    assert "Best on validation for small: soft_labels." in said
    said = bench("--only", "wider/.*/0")
    assert "5 of 12 cells are done" in said
    monkeypatch.setattr(stages, "train_student", None)
    assert "5 of 12 cells are done" in bench("--print")
    names = {path.name for path in (tmp_path / "results").iterdir()}
    pictures = {"quality-smoke-size.svg", "quality-smoke-curves.svg"}
    assert names == {"quality-smoke.md", "quality-smoke.csv"} | pictures
    page = (tmp_path / "results" / "quality-smoke.md").read_text()
    assert page.startswith("# Smoke: what distillation gives\n\n`python ")
    assert all(f"]({name})" in page for name in pictures)
    assert pl.read_csv(tmp_path / "results" / "quality-smoke.csv").height == 5
    users = pl.read_parquet(tmp_path / "out" / "smoke" / "per_user.parquet")
    assert users.group_by("student", "method", "seed").len().height == 5 + 1  # and the teacher


def test_bad_input_gets_a_sentence(bench):
    with pytest.raises(SystemExit, match="no cell fits --only 'lstm'"):
        bench("--only", "lstm")
