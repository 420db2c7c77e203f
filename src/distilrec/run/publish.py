"""What a finished run writes for people and for other programs: its results, and the student with its card."""

from __future__ import annotations

import platform
from pathlib import Path

import torch
import yaml

from distilrec import __version__
from distilrec.card import write_card
from distilrec.recommender import Recommender
from distilrec.run.finished import some_histories
from distilrec.run.recipe import Recipe, with_paths
from distilrec.run.results import Results
from distilrec.run.stages import Prepared


def publish(run: Path, recipe: Recipe, prepared: Prepared, results: Results, *, student: Path) -> None:
    """Write `results.json`, `results.md`, and to `artefact`, the folder that people take away, the student.

    Args:
        student: the distilled student's artefact, as it was trained.
    """
    results.save(run)
    recommender = Recommender.from_pretrained(student)
    data = prepared.interactions
    without_own_paths = with_paths(recipe, lambda path: Path(path.name) if path.is_absolute() else path)
    counts = f"{data.n_users:,} users, {data.n_items:,} items, {data.events.height:,} events"
    card = write_card(
        recommender.config(),
        title=recipe.name,
        example=", ".join(repr(value) for value in some_histories(prepared)[0][-3:]),
        sections={
            "Results": results.markdown(),
            "Data": f"{counts} from `{recipe.data.path.name}`.",
            "Settings": f"```yaml\n{recipe_text(without_own_paths)}```",
            "Made with": f"DistilRec {__version__}, Python {platform.python_version()}, torch {torch.__version__}.",
        },
    )
    recommender.save_pretrained(run / "artefact", card=card)


def recipe_text(recipe: Recipe) -> str:
    """A recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
