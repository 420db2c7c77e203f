"""The README is code too: its Python runs, its commands and targets exist, its recipe is a recipe."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from distilrec.config import parse
from distilrec.data.read import read
from distilrec.models.popularity import Popularity
from distilrec.recommender import POPULARITY_COLUMN, Recommender
from distilrec.run.recipe import Recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def a_finished_run(tmp_path, monkeypatch):
    """What the README's Python expects to find: a log, a catalogue and a run's artefact over them."""
    monkeypatch.chdir(tmp_path)
    items = [50, 181, 7, 8, 9, *range(10, 30)]
    events = [(user, items[(user + step) % len(items)]) for user in range(30) for step in range(6)]
    pl.DataFrame(events, schema=["user_id", "item_id"], orient="row").write_csv("my-log.csv")
    pl.DataFrame({"item_id": items, "title": [f"Item {i}" for i in items]}).write_csv("my-catalogue.csv")
    interactions, _ = read("my-log.csv", items="my-catalogue.csv")
    model = Popularity.fit(interactions.sequences(), n_items=interactions.n_items)
    counts = np.bincount(interactions.events["item"].to_numpy(), minlength=interactions.n_items)
    catalogue = interactions.items.with_columns(pl.Series(POPULARITY_COLUMN, counts))
    Recommender(model, catalogue).save_pretrained("runs/recipe/artefact")


def test_the_python_runs_and_prints_recommendations_and_an_interval(a_finished_run, capsys):
    assert len(blocks("python")) == 1
    exec(compile(blocks("python")[0], "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "user_id" in printed
    assert "anna" in printed
    assert re.search(r"^0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)$", printed, flags=re.MULTILINE)


def test_every_command_is_one_that_the_command_line_has():
    from distilrec.cli import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    named = set(re.findall(r"^distilrec (\w+)", "\n".join(blocks("")), flags=re.MULTILINE))
    assert {"check", "run", "recommend", "compare", "doctor"} <= named <= known


def test_every_make_target_is_in_the_makefile():
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = set(re.findall(r"make ([a-z-]+)", README))
    assert {"demo", "test"} <= named <= set(targets)


def test_the_recipe_is_a_recipe():
    recipe = parse(Recipe, yaml.safe_load(blocks("yaml")[0]))
    assert (recipe.knowledge.top_k, [loss.kind for loss in recipe.distil.losses]) == (300, ["relaxed_ranking"])


def test_every_file_and_folder_that_is_linked_exists():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_recipe_of_the_repository_is_a_recipe():
    recipes = [*(ROOT / "recipes").glob("*.yaml"), *(ROOT / "src/distilrec/recipes").glob("*.yaml")]
    assert recipes
    for path in recipes:
        parse(Recipe, yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))
