"""The application object that commands are added to."""

from __future__ import annotations

from typing import Annotated

import typer

from distilrec import __version__

app = typer.Typer(
    help="Turn large pretrained models into small, fast recommenders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"distilrec {__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Turn large pretrained models into small, fast recommenders."""
