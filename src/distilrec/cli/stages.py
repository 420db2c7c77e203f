"""The stages as commands of their own: data, encode, baselines, teach, distil."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from distilrec.cli.app import app
from distilrec.cli.whole import Set
from distilrec.config import Settings, apply_overrides, parse
from distilrec.errors import SettingsError

S = TypeVar("S", bound=Settings)
DataFolder = Annotated[Path, typer.Argument(help="Prepared data: the folder that `distilrec data` wrote.")]
Out = Annotated[Path, typer.Option(help="Where to write.")]


def settings_from(kind: type[S], overrides: list[str] | None, **given: object) -> S:
    """A stage's settings from `--set key=value` lines."""
    return parse(kind, apply_overrides(given, overrides or ()), where="--set")


@app.command()
def data(
    path: Annotated[Path, typer.Argument(help="A log, or a folder with a log and a catalogue.")],
    out: Out,
    overrides: Set = None,
) -> None:
    """Read, filter and split a log. Settings: those under `data` in a recipe, such as --set filter.k_core=5."""
    from distilrec.run.recipe import DataSettings
    from distilrec.run.stages import prepare, read_log

    settings = settings_from(DataSettings, overrides, path=str(path))
    interactions, lines = read_log(settings)
    for line in [*lines, *prepare(interactions, settings, out)]:
        typer.echo(line)


@app.command()
def encode(prepared: DataFolder, out: Out, overrides: Set = None) -> None:
    """Turn every item's text into a vector. Settings: those under `encode`, such as --set 'template="{title}"'."""
    from distilrec.encode.settings import EncodeSettings
    from distilrec.run import stages

    stages.encode(stages.load_prepared(prepared), settings_from(EncodeSettings, overrides), out)
    typer.echo(f"wrote {out / 'vectors.npy'}")


@app.command()
def baselines(prepared: DataFolder, out: Out, overrides: Set = None) -> None:
    """Fit popularity, item-kNN and EASE. Settings: those under `baselines`, such as --set ease.l2=300."""
    from distilrec.recommender import Recommender
    from distilrec.run import stages
    from distilrec.run.recipe import BaselineSettings

    loaded = stages.load_prepared(prepared)
    for name, model in stages.fit_baselines(settings_from(BaselineSettings, overrides), loaded).items():
        Recommender(model, loaded.catalogue()).save_pretrained(out / name)
        typer.echo(f"wrote {out / name}")


@app.command()
def teach(
    prepared: DataFolder,
    out: Out,
    vectors: Annotated[
        Path | None, typer.Argument(help="The folder that `distilrec encode` wrote, for teachers that read it.")
    ] = None,
    template: Annotated[str | None, typer.Option(help="What a teacher that reads text reads of an item.")] = None,
    overrides: Set = None,
) -> None:
    """Make a teacher and take its knowledge.

    Settings: those under `teacher`, such as --set kind=ease or --set model.width=128, and those under `knowledge`, such
    as --set knowledge.soft_labels=whole.
    """
    from distilrec.run import stages, teaching

    settings = teaching.settings_from(overrides or [])
    told, knowledge = teaching.teach(settings, stages.load_prepared(prepared), out, vectors=vectors, template=template)
    for warning in knowledge.manifest.get("warnings", []):
        typer.echo(f"warning: {warning}")
    typer.echo(f"{told}; wrote {out}")


@app.command()
def distil(
    prepared: DataFolder,
    out: Out,
    knowledge: Annotated[
        list[Path] | None, typer.Option(help="A knowledge folder, or several; left out, plain training.")
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(help="Share of each knowledge folder; left out, all have the same.")
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Or a teacher's artefact, asked while training.")] = None,
    overrides: Set = None,
) -> None:
    """Train a student, alone or from a teacher. Settings: model.*, train.* and distil.* as in a recipe."""
    from distilrec.run import stages
    from distilrec.run.recipe import EvaluateStage, StudentAndTeacher
    from distilrec.run.teachers import forget_checkpoint, open_knowledge, open_model

    loaded, settings = stages.load_prepared(prepared), settings_from(StudentAndTeacher, overrides)
    max_length = settings.model.max_length
    source = open_knowledge(knowledge, teacher, loaded, max_length=max_length, weights=weight)
    if source is None and "distil" in settings.model_fields_set:
        raise SettingsError("distil settings were given, but nothing to learn from; add --knowledge or --teacher")
    report = stages.train_student(
        settings.model,
        settings.train,
        loaded,
        out,
        validate=stages.validator(loaded, EvaluateStage()),
        knowledge=source,
        distil=settings.distil if source else None,
        teacher=open_model(teacher, loaded) if teacher is not None and settings.distil.layers else None,
    )
    forget_checkpoint(out)
    typer.echo(f"best validation {report.best_score:.5f} after epoch {report.best_epoch + 1}; wrote {out}")
