"""Commands about a teacher's knowledge on disk: take, import, verify, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distilrec.cli.app import app
from distilrec.cli.stages import DataFolder, Out, settings_from
from distilrec.cli.whole import Set

if TYPE_CHECKING:
    from distilrec.knowledge import Knowledge

knowledge_app = typer.Typer(help="A teacher's knowledge on disk.", no_args_is_help=True)
app.add_typer(knowledge_app, name="knowledge")

Folder = Annotated[Path, typer.Argument(help="A knowledge folder.")]
_DAMAGED = 1


@knowledge_app.command()
def take(
    teacher: Annotated[Path, typer.Argument(help="A teacher's folder, as `distilrec teach` wrote it, or an artefact.")],
    prepared: DataFolder,
    out: Out,
    max_length: Annotated[int, typer.Option(help="Positions of a training window: the student's max_length.")] = 50,
    overrides: Set = None,
) -> None:
    """Write what a teacher says about every training position. Settings: those under `knowledge`, such as top_k=50.

    Killed, the same command goes on where it stopped. Given several times at once, the processes share the work.
    """
    from distilrec.run.stages import load_prepared
    from distilrec.run.teachers import kind_of_teacher, open_teacher, take_knowledge
    from distilrec.teach.settings import KnowledgeSettings

    loaded, settings = load_prepared(prepared), settings_from(KnowledgeSettings, overrides)
    source = open_teacher(teacher, loaded, max_length, relation_heads=settings.relation_heads)
    about = {"kind": kind_of_teacher(teacher), "from": teacher.name}
    found = take_knowledge(source, loaded, out, max_length=max_length, settings=settings, about=about)
    for warning in found.manifest.get("warnings", []):
        typer.echo(f"warning: {warning}")
    typer.echo(f"wrote {out}: {found.size_bytes():,} bytes about {found.manifest['positions']:,} positions")


@knowledge_app.command("import")
def import_command(
    path: Annotated[Path, typer.Argument(help="Ranked lists: Parquet or JSON lines (docs/knowledge.md).")],
    prepared: DataFolder,
    out: Out,
    max_length: Annotated[int, typer.Option(help="Positions of a training window: the student's max_length.")] = 50,
    vectors: Annotated[
        Path | None, typer.Option(help="Item vectors to go with the lists: .npy, .safetensors or Parquet.")
    ] = None,
    overrides: Set = None,
) -> None:
    """Make knowledge of what another library or service has ranked. Settings such as --set unknown=drop."""
    from distilrec.run.stages import load_prepared
    from distilrec.run.teacher_stages import OutsideTeacher
    from distilrec.run.teachers import import_knowledge
    from distilrec.teach.outside_lists import RankingSettings

    reading = settings_from(RankingSettings, overrides)
    stage = OutsideTeacher(kind="outside", rankings=path, vectors=vectors, reading=reading)
    found, lines = import_knowledge(stage, load_prepared(prepared), out, max_length=max_length)
    for line in lines:
        typer.echo(line)
    typer.echo(f"wrote {out}: {found.size_bytes():,} bytes")


@knowledge_app.command()
def verify(folder: Folder) -> None:
    """Read every file and compare it with the manifest. Exit code 1 when something was altered or damaged."""
    from distilrec.knowledge import Knowledge

    found = Knowledge.open(folder)
    problems = found.verify()
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(_DAMAGED)
    typer.echo(f"{folder}: {found.size_bytes():,} bytes, every digest and shape is as the manifest says")


@knowledge_app.command()
def show(
    folder: Folder,
    prepared: Annotated[
        Path | None, typer.Option("--data", help="Prepared data, for titles and for samples of what the teacher says.")
    ] = None,
    samples: Annotated[int, typer.Option(help="How many histories to show with the teacher's ten best.")] = 3,
) -> None:
    """Say what a knowledge folder holds; with --data also what the teacher says after some histories."""
    from distilrec.knowledge import Knowledge
    from distilrec.knowledge.show import describe_knowledge

    found = Knowledge.open(folder)
    for line in describe_knowledge(found):
        typer.echo(line)
    if prepared is not None:
        _show_samples(found, prepared, samples)


def _show_samples(found: Knowledge, prepared: Path, samples: int) -> None:
    """What the teacher says at the end of some windows, spread evenly over those it speaks of."""
    import numpy as np

    from distilrec.data.batches import Windows
    from distilrec.knowledge.show import ten_best
    from distilrec.run.stages import load_prepared

    loaded = load_prepared(prepared)
    found.check_catalogue(loaded.interactions.item_ids_digest())
    windows = Windows.cut(loaded.split.train, max_length=int(found.manifest["max_length"]))
    found.check_belongs(windows_digest=windows.digest(), n_items=loaded.interactions.n_items)
    items = loaded.interactions.items
    titles = items["title" if "title" in items.columns else "item_id"].cast(str).fill_null("(no title)").to_list()
    rows = np.linspace(0, len(windows) - 1, num=min(samples, len(windows)) + 2, dtype=np.int64)[1:-1]
    for line in ten_best(found, windows.batch(rows), titles):
        typer.echo(line)
