"""Commands that look at things: check, recommend, compare, evaluate."""

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


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A run's folder or an artefact.")],
    data: Annotated[Path, typer.Argument(help="Prepared data: the folder that `distilrec data` wrote.")],
    out: Annotated[Path | None, typer.Option(help="Where to keep every user's values.")] = None,
    cases: Annotated[str, typer.Option(help="test or validation.")] = "test",
    cutoffs: Annotated[str, typer.Option(help="Lengths of the lists that metrics look at.")] = "5,10,20",
    exclude_history: Annotated[bool, typer.Option(help="Leave items of the history out of the ranking.")] = True,
) -> None:
    """Rank the whole catalogue for held-out cases and print every metric with its interval."""
    from distilrec.cli.options import numbers_from
    from distilrec.cli.show import show_evaluation
    from distilrec.config import parse
    from distilrec.recommender import Recommender
    from distilrec.run.recipe import EvaluateStage
    from distilrec.run.stages import judge, load_prepared

    chosen = {"cutoffs": numbers_from(cutoffs, "--cutoffs"), "exclude_history": exclude_history}
    settings = parse(EvaluateStage, chosen, where="options")
    found = judge(Recommender.from_pretrained(artefact_of(model)), load_prepared(data), settings, on=cases)
    if out is not None:
        found.save(out)
    show_evaluation(found)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A run's folder (its distilled student) or an evaluation's folder.")],
    b: Annotated[Path, typer.Argument(help="The same for the other side.")],
    metric: Annotated[str, typer.Option(help="What to compare by.")] = "ndcg@10",
) -> None:
    """Say whether a differs from b, by a paired bootstrap over users."""
    from distilrec.evaluate.compare import compare as compare_evaluations
    from distilrec.evaluate.evaluation import Evaluation

    sides = [Evaluation.load(_evaluation_of(path)) for path in (a, b)]
    comparison = compare_evaluations(sides[0], sides[1], metric=metric, names=(str(a), str(b)))
    typer.echo(comparison.sentence())


def artefact_of(path: Path) -> Path:
    """The artefact of a run's folder, or the folder itself."""
    return path / "artefact" if (path / "artefact").is_dir() else path


def _evaluation_of(path: Path) -> Path:
    inside = path / "evaluation" / "distilled"
    return inside if inside.is_dir() else path
