"""The command that answers over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distilrec.cli.app import app

_OPTION = typer.Option


@app.command()
def serve(
    run: Annotated[Path, typer.Argument(help="A folder that `distilrec export` wrote, or a run that holds one.")],
    store: Annotated[
        str, _OPTION(help="Where events are kept: sqlite:///FILE, or postgresql://USER@HOST/DATABASE.")
    ] = "sqlite:///distilrec-events.db",
    host: Annotated[str, _OPTION(help="The address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, _OPTION(help="The port; 0 takes a free one and logs it.")] = 8000,
    workers: Annotated[int, _OPTION(help="Processes that answer; one for each core at most.")] = 1,
    watch: Annotated[bool, _OPTION("--watch", help="Take a new model from the folder while answering.")] = False,
    api_key_file: Annotated[
        Path | None, _OPTION(help="Keys, one a line; requests need one of them in X-API-Key.")
    ] = None,
    settings: Annotated[
        list[str] | None, _OPTION("--set", help="Any other setting: rate_limit=100, max_k=50, access_log=true.")
    ] = None,
) -> None:
    """Answer requests for recommendations over HTTP.

    Starts in about a second, without torch. Ask it:

        curl -s localhost:8000/recommend -d '{"history": [50, 181], "k": 5}'

    All routes, with forms to try them: http://localhost:8000/docs. What it does when things break: docs/serving.md.
    """
    from distilrec.config import apply_overrides, parse
    from distilrec.serve.settings import ServeSettings
    from distilrec.serve.start import start

    given = {
        "store": store,
        "host": host,
        "port": port,
        "workers": workers,
        "watch": watch,
        "api_key_file": api_key_file,
    }
    raise typer.Exit(start(run, parse(ServeSettings, apply_overrides(given, settings or []))))
