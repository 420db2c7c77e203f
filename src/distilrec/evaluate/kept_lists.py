"""The lists that a model showed, kept beside its evaluation, so that what is said of them needs no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distilrec.errors import ArtifactError
from distilrec.files import atomic_path, is_leftover
from distilrec.types import IntArray

LISTS = "lists.npy"


def save_lists(folder: Path, lists: IntArray) -> None:
    """Write row numbers of items, best first, [C, k], as `lists.top_lists` gives them."""
    with atomic_path(folder / LISTS) as temporary, temporary.open("wb") as file:
        np.save(file, lists.astype(np.int32), allow_pickle=False)


def load_lists(folder: Path) -> IntArray:
    """Read back what `save_lists` wrote."""
    path = folder / LISTS
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; expected the lists that a model showed")
    try:
        lists: IntArray = np.load(path, allow_pickle=False).astype(np.int64)
    except (ValueError, EOFError) as error:
        raise ArtifactError(f"{path} is damaged and cannot be read ({error}); delete it, and ask again") from None
    return lists


def evaluations_without_lists(folder: Path) -> list[Path]:
    """The evaluations in a folder that were saved without lists; what a kill left half done or replaced is none."""
    places = sorted(path.parent for path in folder.glob("*/summary.json"))
    found = [place for place in places if not is_leftover(place.relative_to(folder))]
    return [one for one in found if not (one / LISTS).is_file()]
