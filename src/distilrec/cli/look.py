"""Commands that look at things: check, recommend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distilrec.cli.app import app
from distilrec.cli.options import Columns, columns_from

_USABLE_WITH_OPTIONS = 1


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A log, or a folder with a log and a catalogue.")],
    items: Annotated[Path | None, typer.Option(help="The catalogue, when it is not recognised.")] = None,
    users: Annotated[Path | None, typer.Option(help="The table of users, likewise.")] = None,
    columns: Columns = None,
    separator: Annotated[str | None, typer.Option(help="What separates columns, when it is not recognised.")] = None,
    missing_ids: Annotated[str, typer.Option(help="Events that lack a user or an item: refuse or drop.")] = "refuse",
    mixed_ids: Annotated[str, typer.Option(help="Ids that are numbers and text: refuse or text.")] = "refuse",
    bad_times: Annotated[str, typer.Option(help="Impossible times: refuse, drop or blank.")] = "refuse",
    bad_weights: Annotated[str, typer.Option(help="Weights that are no numbers: refuse or drop.")] = "refuse",
) -> None:
    """Say what a log holds, what is wrong with it and what would be done about it.

    Exit code 0: usable as it is; 1: usable with the options that are named; 2: unusable.
    """
    from distilrec.config import parse
    from distilrec.data.check import check as check_log
    from distilrec.data.problems import Cleaning

    options = {
        "missing_ids": missing_ids,
        "mixed_ids": mixed_ids,
        "bad_times": bad_times,
        "bad_weights": bad_weights,
    }
    cleaning = parse(Cleaning, options, where="options").model_dump()
    report = check_log(path, items=items, users=users, columns=columns_from(columns), separator=separator, **cleaning)
    for line in report.lines():
        typer.echo(line)
    if report.exit_code == _USABLE_WITH_OPTIONS:
        typer.echo("Here such an option is given as --missing-ids drop; in a recipe, as missing_ids: drop under data.")
    raise typer.Exit(report.exit_code)


@app.command()
def recommend(
    model: Annotated[Path, typer.Argument(help="A run's folder or an artefact.")],
    history: Annotated[str, typer.Option(help='Item ids, oldest first: "50,181". Empty: the popular items.')] = "",
    k: Annotated[int, typer.Option("-k", help="How many items.")] = 10,
    keep_history: Annotated[bool, typer.Option(help="Also recommend what is in the history.")] = False,
) -> None:
    """Recommend items for one history."""
    from distilrec.cli.show import show_recommendations
    from distilrec.recommender import Recommender

    recommender = Recommender.from_pretrained(artefact_of(model))
    ids = [part.strip() for part in history.split(",") if part.strip()]
    show_recommendations(recommender, recommender.recommend([ids], k=k, exclude_history=not keep_history))


def artefact_of(path: Path) -> Path:
    """The artefact of a run's folder, or the folder itself."""
    return path / "artefact" if (path / "artefact").is_dir() else path
