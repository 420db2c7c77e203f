"""The command that makes a model ready to be served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distilrec.cli.app import app
from distilrec.errors import ArtifactError

Set = Annotated[list[str] | None, typer.Option("--set", help="all_in_one=false, tolerance=0.001, histories=50.")]


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a saved model.")],
    out: Annotated[Path, typer.Option(help="The folder to write; an older export there is replaced.")],
    data: Annotated[
        Path | None, typer.Option(help="Prepared data whose users the certificate is about; a run has its own.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="The model before it was compressed, to be compared with too.")
    ] = None,
    overrides: Set = None,
) -> None:
    """Write a student as ONNX graphs beside its artefact, ready for `distilrec serve`, with a parity certificate.

    Nothing is written when the graphs do not say what the model says.
    """
    from distilrec.cli.stages import settings_from
    from distilrec.recommender import Recommender
    from distilrec.run.exporting import ExportSettings, export, real_histories

    settings, artefact = settings_from(ExportSettings, overrides), _artefact_of(run)
    prepared = data if data is not None else run / "data" if (run / "data").is_dir() else None
    report = export(
        artefact,
        out,
        settings,
        histories=real_histories(prepared, settings.histories) if prepared is not None else None,
        against=Recommender.from_pretrained(against) if against is not None else None,
    )
    for line in report.lines():
        typer.echo(line)
    typer.echo(f"wrote {out}; serve it with: distilrec serve {out}")


def _artefact_of(run: Path) -> Path:
    """A run's student, or the model itself."""
    for place in (run / "artefact", run):
        if (place / "config.json").is_file():
            return place
    raise ArtifactError(f"{run} is neither a finished run nor a saved model; run: distilrec run RECIPE")
