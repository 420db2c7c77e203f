"""What the commands that judge print beside the table of metrics."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import typer

from distilrec.cli.show import print_table
from distilrec.evaluate.accuracy import Values
from distilrec.evaluate.beyond import Beyond
from distilrec.evaluate.bootstrap import Interval, bootstrap_interval, bootstrap_intervals
from distilrec.evaluate.compare import metric_title
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.protocols import PairOfModels
from distilrec.evaluate.slices import Slice
from distilrec.evaluate.verdicts import Verdict, Verdicts


def show_slices(rows: Sequence[Slice], metric: str) -> None:
    """Each group with its count and its interval."""
    body = [[row.slicing, row.label, f"{row.n:,}", *_cells(row.interval)] for row in rows]
    print_table(["by", "group", "users", metric_title(metric), "95 % interval"], body)


def show_beyond(found: Evaluation, shown: Beyond) -> None:
    """What the lists are like."""
    measured = [[_plain(name), *_cells(found.interval(name))] for name in shown.per_case.columns]
    totals = [[_plain(name), f"{value:.4f}", "(all lists together)"] for name, value in shown.totals.items()]
    print_table(["of what is shown", "mean", "95 % interval"], [*measured, *totals])


def show_agreement(alike: pl.DataFrame, apart: Values) -> None:
    """How alike two models are."""
    intervals = bootstrap_intervals(alike.to_numpy())
    body = [[_plain(name), *_cells(found)] for name, found in zip(alike.columns, intervals, strict=True)]
    body.append(["divergence, nats", *_cells(bootstrap_interval(apart))])
    print_table(["of both models", "mean", "95 % interval"], body)


def show_verdicts(found: Verdicts, *, with_margin: bool) -> None:
    """The sentence for everybody, the one about the margin, and a table of groups."""
    typer.echo(found.overall.sentence())
    if with_margin:
        told = found.non_inferiority
        typer.echo(told.sentence() if told else "the other side's mean is 0, of which there is no share to lose")
    if found.groups:
        head = ["by", "group", "users", "A", "B", "A is", "p", "not worse by the margin"]
        print_table(head, [_verdict_cells(group) for group in found.groups])
        typer.echo("The p-values of groups, and what is said by them, are corrected for their number (Holm).")


def show_protocols(pairs: Sequence[PairOfModels]) -> None:
    """Pairs of models about which protocols disagree, in sentences."""
    disagreed = [pair for pair in pairs if not pair.agree]
    for pair in disagreed:
        typer.echo(pair.sentence())
    typer.echo(f"{len(pairs) - len(disagreed)} of {len(pairs)} pairs of models: the protocols agree.")


def _verdict_cells(group: Verdict) -> list[str]:
    if group.comparison is None:
        return [group.slicing, group.label, f"{group.n:,}", "", "", group.word, "", ""]
    means = [f"{mean:.4f}" for mean in group.comparison.means]
    not_worse = "yes" if group.not_worse else "not shown"
    return [group.slicing, group.label, f"{group.n:,}", *means, group.word, f"{group.p_value:.4f}", not_worse]


def _cells(interval: Interval) -> list[str]:
    return [f"{interval.mean:.4f}", f"{interval.low:.4f} to {interval.high:.4f}"]


def _plain(name: str) -> str:
    return name.replace("_", " ")
