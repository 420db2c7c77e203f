"""The application object that commands are added to."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Turn large pretrained models into small, fast recommenders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
