"""The command that writes the report of one or several runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from distilrec.cli.app import app


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
