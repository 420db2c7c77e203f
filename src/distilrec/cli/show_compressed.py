"""What `distilrec compress` prints: the points, the choice and why, and what was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from distilrec.cli.show import print_table
from distilrec.compress.told import PLOT, cells
from distilrec.evaluate.compare import Comparison
from distilrec.evaluate.verdicts import NonInferiority

if TYPE_CHECKING:  # it loads torch
    from distilrec.tune.compression import Found


def show_found(found: Found) -> None:
    """The table, then sentences, then where things lie."""
    print_table(*cells(found.points, found.budget, found.choice))
    for line in (*found.choice.why, found.note):
        typer.echo(f"\n{line}")
    if found.left_out:
        typer.echo("\nLeft out:")
    for name, why in found.left_out.items():
        typer.echo(f"  {name}: {why}")
    if (found.folder / PLOT).is_file():
        typer.echo(f"\nThe plot of the frontier is {found.folder / PLOT}.")
    if found.choice.point is not None:
        typer.echo(f"The chosen model is in {found.folder / 'artefact'}; every point is in {found.folder / 'points'}.")
    else:
        typer.echo(f"No model was chosen; every point is in {found.folder / 'points'}.")


def show_test(compared: Comparison, not_worse: NonInferiority | None) -> None:
    """What test says of the chosen point, and of the loss that the budget allows."""
    for found in (compared, not_worse):
        if found is not None:
            sentence = found.sentence()
            typer.echo(f"\nOn test: {sentence[0].upper()}{sentence[1:]}.")
