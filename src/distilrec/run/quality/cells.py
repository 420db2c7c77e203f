"""The cells of a proof: who is trained how and from which seed, in the order in which they tell most."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from distilrec.errors import SettingsError
from distilrec.run.quality.settings import ALONE, QualityRecipe


@dataclass(frozen=True)
class Cell:
    """One training."""

    student: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """As it is printed, and as `--only` sees it."""
        return f"{self.student}/{self.method}/{self.seed}"


def cells_of(recipe: QualityRecipe) -> list[Cell]:
    """Every cell, breadth first.

    The first seed of all goes before the second; within a seed each student alone and with the main method, then one
    method after the other. So whenever work stops there is something to compare.
    """
    cells = [
        Cell(student, method, seed)
        for student in recipe.students
        for method in recipe.method_names(student)
        for seed in seeds_of(recipe, student, method)
    ]
    seeds = list(dict.fromkeys([*recipe.seeds, *recipe.headline_seeds]))
    students, methods = list(recipe.students), list(dict.fromkeys([ALONE, recipe.main, *_every_method(recipe)]))

    def place(cell: Cell) -> tuple[int, ...]:
        student, method = students.index(cell.student), methods.index(cell.method)
        first = cell.method in (ALONE, recipe.main)
        return (seeds.index(cell.seed), 0, student, method) if first else (seeds.index(cell.seed), 1, method, student)

    return sorted(cells, key=place)


def seeds_of(recipe: QualityRecipe, student: str, method: str) -> list[int]:
    """The seeds that a student is trained from with a method."""
    headline = recipe.students[student].headline
    more = recipe.headline_seeds if method in headline or (headline and method == ALONE) else ()
    return list(dict.fromkeys([*recipe.seeds, *more]))


def chosen(cells: Sequence[Cell], *, only: str | None = None, seeds: Collection[int] | None = None) -> list[Cell]:
    """The cells whose name has a match of the regular expression `only`, from some of the seeds."""
    try:
        pattern = re.compile(only or "")
    except re.error as error:
        raise SettingsError(f"--only {only!r} is no regular expression: {error}") from None
    found = [cell for cell in cells if pattern.search(cell.name) and (seeds is None or cell.seed in seeds)]
    if not found:
        raise SettingsError(
            f"no cell fits --only {only!r} and --seeds {sorted(seeds) if seeds is not None else 'any'}; "
            f"cells are named {cells[0].name}"
        )
    return found


def _every_method(recipe: QualityRecipe) -> list[str]:
    return [method for student in recipe.students for method in recipe.method_names(student)]
