"""Commands that do everything: run, demo, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distilrec.cli.app import app

Set = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting: stage.key=value; may be given several times.")
]


@app.command("run")
def run_command(
    recipe: Annotated[Path, typer.Argument(help="A YAML recipe, such as recipes/beauty.yaml.")],
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/<name of the recipe> when left out.")] = None,
    overrides: Set = None,
    track: Annotated[
        list[str] | None, typer.Option(help="Also tell tensorboard or mlflow; may be given several times.")
    ] = None,
) -> None:
    """Do every stage of a recipe. Finished stages are kept; an interrupted run goes on where it stopped."""
    from distilrec.cli.show import show_run
    from distilrec.run.pipeline import run
    from distilrec.run.recipe import load_recipe

    told = [f"track=[{', '.join(track)}]"] if track else []
    settings = load_recipe(recipe, [*(overrides or ()), *told])
    show_run(run(settings, out or Path("runs") / recipe.stem))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("runs/demo"),
    data: Annotated[Path | None, typer.Option(help="A folder with MovieLens-100K.")] = None,
    model: Annotated[Path | None, typer.Option(help="A folder with all-MiniLM-L6-v2.")] = None,
    overrides: Set = None,
) -> None:
    """Let a real language model teach a small recommender on real data, and show what was gained and lost."""
    from distilrec.cli.show import show_next_commands, show_run, show_sample
    from distilrec.demo import demo_recipe
    from distilrec.run.pipeline import run

    finished = run(demo_recipe(data=data, model=model, overrides=overrides or ()), out)
    show_run(finished)
    show_sample(finished)
    show_next_commands(finished)


@app.command()
def doctor(
    network: Annotated[bool, typer.Option(help="Also try the places that data and weights come from.")] = True,
) -> None:
    """Say what is installed, what is missing and how to get it, and what this machine can do."""
    from distilrec.doctor import examine, lines

    for line in lines(examine(probe_network=network)):
        typer.echo(line)
