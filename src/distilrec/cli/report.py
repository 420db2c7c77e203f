"""Commands that tell what runs found: report, track."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from distilrec.cli.app import app

if TYPE_CHECKING:
    from distilrec.run.track import Tracker


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs; the first is what the others are held against.")],
    out: Annotated[Path, typer.Option(help="The HTML file; the Markdown is written beside it.")] = Path("report.html"),
    ask: Annotated[
        bool, typer.Option(help="Ask the models of runs that kept no lists what they show, and keep it in the run.")
    ] = True,
) -> None:
    """Write what runs found as one HTML file that works from disk, and as Markdown beside it."""
    from distilrec.errors import SettingsError
    from distilrec.evaluate.kept_lists import evaluations_without_lists
    from distilrec.files import write_text
    from distilrec.report.gather import gather
    from distilrec.report.markdown import markdown_page
    from distilrec.report.page import html_page

    if out.suffix not in (".html", ".htm"):
        raise SettingsError(f"--out {out}: expected a name that ends in .html")
    twice = next((run for n, run in enumerate(runs) if run.resolve() in {other.resolve() for other in runs[:n]}), None)
    if twice is not None:
        raise SettingsError(f"{twice} is given twice; name each run once")
    for run in runs:
        if ask and evaluations_without_lists(run / "evaluation"):
            from distilrec.run.lists import add_lists

            typer.echo(f"{run}: asking its models what they show")
            add_lists(run)
    found = [gather(run) for run in runs]
    command = shlex.join(["distilrec", "report", *map(str, runs), "--out", str(out)])
    write_text(out, html_page(found, command=command))
    write_text(out.with_suffix(".md"), markdown_page(found, command=command))
    for facts in found:
        for sentence in facts.missing:
            typer.echo(f"note: {sentence}")
    typer.echo(f"wrote {out} and {out.with_suffix('.md')}")


@app.command("track")
def track_command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, finished or not.")],
    to: Annotated[list[str], typer.Option(help="tensorboard or mlflow; may be given several times.")],
) -> None:
    """Tell TensorBoard or MLflow of trainings, settings and metrics of runs that are there."""
    from typing import get_args

    from distilrec.errors import SettingsError
    from distilrec.run.track import Tracker, track

    unknown = [name for name in to if name not in get_args(Tracker)]
    if unknown:
        raise SettingsError(f"--to {unknown[0]}: expected {' or '.join(get_args(Tracker))}")
    for run in runs:
        for line in track(run, cast("list[Tracker]", to)):
            typer.echo(f"{run}: tracked; see: {line}")
