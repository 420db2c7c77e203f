"""The page about distillation: its recipes run, its table names every loss, its commands and links are right."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from distilrec.cli.stages import settings_from
from distilrec.config import apply_overrides, parse
from distilrec.distil.terms import term_kinds
from distilrec.run.pipeline import run
from distilrec.run.recipe import Recipe, StudentAndTeacher
from small_world import TINY

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "distillation.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
COMMANDS = [line for line in PAGE.replace("\\\n", " ").splitlines() if line.startswith("distilrec ")]


def merged(base, changes):
    both = {**base, **changes}
    nested = {k for k in base.keys() & changes.keys() if isinstance(base[k], dict) and isinstance(changes[k], dict)}
    return both | {name: merged(base[name], changes[name]) for name in nested}


@pytest.mark.parametrize("text", RECIPES)
def test_every_recipe_is_one_with_its_own_sizes(text):
    parse(Recipe, merged({"data": {"path": "log.csv"}}, yaml.safe_load(text)))


@pytest.mark.parametrize("text", RECIPES)
def test_every_recipe_runs(small, copied, quick, text):
    """In the small world, whose models are narrower than those of the page."""
    values = merged(TINY, yaml.safe_load(text))
    places = {"data": {"path": small.folder / "world"}, "encode": {"model": str(small.folder / "encoder")}}
    sizes = {"student": {"model": {"width": 8}}, "teacher": {"model": {"width": 16}}}
    if values["teacher"].get("kind") == "ids":
        values["teacher"].pop("content_width")
    found = run(parse(Recipe, merged(merged(values, places), sizes)), copied, say=lambda _: None, quiet=True)
    assert found.results.rows[-1].name == "distilled"


def test_the_table_names_every_loss_once():
    table = PAGE.partition("| kind |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert sorted(named) == term_kinds()


def test_the_settings_of_its_commands_are_understood():
    assert len(COMMANDS) == 2
    for command in COMMANDS:
        words = shlex.split(command)
        given = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
        if words[1] == "distil":
            assert settings_from(StudentAndTeacher, given).distil.alpha == 0.6
        else:
            assert parse(Recipe, apply_overrides({"data": {"path": "log.csv"}}, given)).teacher.kind == "saved"


def test_what_it_links_to_is_there():
    for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for anchor in re.findall(r"CONTRIBUTING\.md#([\w-]+)", PAGE):
        headings = re.findall(r"^#+ (.*)$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
