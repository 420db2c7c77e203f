"""What commands print: tables for a terminal, plain and narrow enough for a log file."""

from __future__ import annotations

import shlex
from itertools import zip_longest
from typing import TYPE_CHECKING

import polars as pl
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from distilrec.evaluate.accuracy import METRICS_AT_K
from distilrec.evaluate.compare import metric_title
from distilrec.evaluate.cost import NO_COSTS, CostTable
from distilrec.evaluate.evaluation import Evaluation
from distilrec.memory import peak_memory_bytes
from distilrec.recommender import Recommender

if TYPE_CHECKING:  # it loads torch
    from distilrec.run.finished import Run

_WIDE = 160
_NARROW = 130
_USUAL = ("ndcg", "recall", "hit_rate", "mrr")


def show_run(run: Run) -> None:
    """The table of a run, its verdicts, its protocol, and where the artefact lies."""
    head, body = run.results.cells()
    print_table(head, body)
    for line in (*run.results.verdicts, *run.results.notes):
        typer.echo(f"\n{line}")
    show_costs(run.results.costs)
    if (both := run.results.splits) is not None:
        typer.echo("")
        print_table(*both.cells())
        for line in (*both.sentences, both.note):
            typer.echo(f"\n{line}")
    if (peak := peak_memory_bytes()) is not None:
        typer.echo(f"\nPeak memory of this process: {peak / 2**30:.2f} GiB.")
    typer.echo(f"\nThe distilled student is in {run.artefact} (its card: {run.artefact / 'README.md'}).")


def show_costs(costs: CostTable | None) -> None:
    """What each model costs, and how it was measured."""
    typer.echo("")
    if costs is not None:
        print_table(*costs.cells())
    typer.echo(costs.note if costs is not None else NO_COSTS)


def show_sample(run: Run, *, k: int = 5) -> None:
    """What the distilled student recommends to one test user, beside the end of that user's history."""
    sample = run.sample(k)
    typer.echo(f"\nUser {sample.user_id}: the end of the history, and what is recommended next")
    width = max(len(title) for title in sample.history)
    for past, future in zip_longest(sample.history, sample.recommended, fillvalue=""):
        typer.echo(f"  {past:<{width}}  ->  {future}")
    typer.echo(f"  (chosen next in fact: {sample.chosen})")


def show_next_commands(run: Run) -> None:
    """What to type next."""
    history = ",".join(str(value) for value in run.example_history()[-3:])
    evaluation = run.folder / "evaluation"
    commands: list[list[object]] = [
        ["recommend", run.folder, "--history", history, "-k", min(5, run.prepared.interactions.n_items)],
        ["compare", evaluation / "distilled", evaluation / "student_alone"],
        ["check", "PATH-TO-YOUR-LOG"],
        ["run", run.folder / "recipe.yaml", "--out", "runs/mine", "--set", "distil.alpha=0.5"],
    ]
    typer.echo("\nNext:")
    for command in commands:
        typer.echo(f"  {shlex.join(['distilrec', *map(str, command)])}")


def show_recommendations(recommender: Recommender, found: pl.DataFrame) -> None:
    """A ranked list with titles where the catalogue has them."""
    named = "title" in recommender.items.columns
    wanted = ["item_id", "title"] if named else ["item_id"]
    joined = found.join(recommender.items.select(wanted), on="item_id", how="left", maintain_order="left")
    columns = ["rank", "item_id", *(["title"] if named else []), "score"]
    print_table(columns, [[_cell(value) for value in row] for row in joined.select(columns).rows()])


def _cell(value: object) -> str:
    if value is None:
        return "(no title)"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def show_evaluation(found: Evaluation, *, every: bool = False) -> None:
    """The usual metrics of accuracy, or every one, with their intervals."""
    wanted = {*METRICS_AT_K, "auc"} if every else _USUAL
    rows = [
        [metric_title(name), f"{i.mean:.5f}", f"{i.low:.5f} to {i.high:.5f}"]
        for name, i in found.summary().items()
        if name.partition("@")[0] in wanted
    ]
    print_table(["metric", "mean", "95 % interval"], rows)
    history = "left out" if found.protocol["exclude_history"] else "not left out"
    typer.echo(
        f"{len(found.per_user):,} users, full ranking of {found.protocol['n_items']:,} items, "
        f"items of the history {history}, ties {found.protocol['ties']}"
    )


def print_table(head: list[str], body: list[list[str]]) -> None:
    """A table as wide as it needs to be in a file; on a narrow terminal without lines, intervals below their means."""
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=_WIDE)
    narrow = console.width < _NARROW
    table = Table(*head, box=SIMPLE_HEAD, pad_edge=False, padding=0) if narrow else Table(*head)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in body:
        cells = [cell.replace(" [", "\n[") for cell in row] if narrow else row
        table.add_row(*(Text(cell) for cell in cells))  # plain: a title may hold [brackets], which rich would read
    console.print(table)
