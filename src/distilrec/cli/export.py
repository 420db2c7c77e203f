"""The command that makes a model ready to be served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distilrec.cli.app import app
from distilrec.errors import ArtifactError

Set = Annotated[
    list[str] | None, typer.Option("--set", help="encoder=int8_dynamic, all_in_one=false, tolerance=0.001, ...")
]


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a saved model.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX graphs, which is the only format so far.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write, replaced if old; without it `exported`, beside the model.")
    ] = None,
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
    from distilrec.run.asked_histories import real_histories
    from distilrec.run.exporting import ExportSettings, export

    settings, artefact = settings_from(ExportSettings, overrides), _artefact_of(run)
    out = out if out is not None else artefact.with_name("exported")
    prepared = data if data is not None else run / "data" if (run / "data").is_dir() else None
    asked, calibration = None, None
    if prepared is not None:
        counts = {"certificate": settings.histories, "calibration": settings.calibration}
        asked, calibration = real_histories(prepared, Recommender.from_pretrained(artefact), **counts)
    first = Recommender.from_pretrained(against) if against is not None else None
    report = export(artefact, out, settings, histories=asked, calibration=calibration, against=first)
    for line in report.lines():
        typer.echo(line)
    typer.echo(f"wrote {out}; serve it with: distilrec serve {out}")


def _artefact_of(run: Path) -> Path:
    """A run's student, or the model itself."""
    for place in (run / "artefact", run):
        if (place / "config.json").is_file():
            return place
    raise ArtifactError(f"{run} is neither a finished run nor a saved model; run: distilrec run RECIPE")
