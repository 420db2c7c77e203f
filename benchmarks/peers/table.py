"""The table of peers and of our models, on the screen and as a page."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agreement import METRICS, Figures, differences
from rich.console import Console
from rich.table import Table

from distilrec import __version__
from distilrec.doctor import usable_cores
from distilrec.evaluate.compare import compare
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import write_text
from models import Row

HEAD = ["model", "library", "parameters", "MB", "epochs", "minutes", "validation NDCG@10", "Recall@10",
        "test NDCG@10", "Recall@10"]  # fmt: skip
UNFINISHED = "unfinished"


def cells(row: Row) -> list[str]:
    """A row as text; a training that was cut off says so beside its epochs."""
    figures = [_figure(row.evaluations[split], name) for split in ("validation", "test") for name in METRICS]
    return [
        row.name,
        row.whose,
        f"{row.parameters:,}",
        f"{row.bytes / 1e6:,.1f}",
        row.epochs if row.finished else UNFINISHED if row.epochs == "-" else f"{row.epochs}, {UNFINISHED}",
        f"{row.seconds / 60:.1f}",
        *figures,
    ]


def _figure(evaluation: Evaluation, metric: str) -> str:
    interval = evaluation.interval(metric)
    return f"{interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def sentences(rows: Sequence[Row], theirs: Mapping[str, Figures]) -> list[str]:
    """What the table comes to: our best on validation beside each peer, and whether the evaluators agree."""
    ours = [row for row in rows if row.whose == "DistilRec"]
    peers = [row for row in rows if row.whose != "DistilRec"]
    found = []
    for peer in peers:
        if not peer.finished:
            found.append(f"{peer.name} was cut off before it had learnt all, so nothing is said of who is ahead.")
            continue
        fitting = [row for row in ours if row.bytes <= peer.bytes]
        if not fitting:
            found.append(f"None of our models here is as small as {peer.name}.")
            continue
        best = max(fitting, key=lambda row: row.evaluations["validation"].mean("ndcg@10"))
        names = (best.name, peer.name)
        told = compare(best.evaluations["test"], peer.evaluations["test"], metric="ndcg@10", names=names).sentence()
        found.append(f"Of our models no larger than {peer.name}, the best on validation: {told}.")
    for judge, most in differences(rows, theirs).items():
        found.append(
            f"{judge}'s own metrics of the same lists differ from ours by {most:.1e} at most, in {len(rows)} models."
        )
    return found


def page(data: str, rows: Sequence[Row], theirs: Mapping[str, Figures]) -> str:
    """Markdown."""
    lines = [HEAD, ["---", "---", *["---:"] * (len(HEAD) - 2)], *map(cells, rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    said = "\n".join(f"- {sentence}" for sentence in sentences(rows, theirs))
    return f"# Peers on {data}\n\n{_command()}\n\n{table}\n\n{said}\n"


def show(data: str, rows: Sequence[tuple[Row, Path]], theirs: Mapping[str, Figures], results: Path) -> None:
    """Print, and write the page."""
    if not rows:
        print("nothing is trained yet")
        return
    known = sorted((row for row, _ in rows), key=lambda row: -row.evaluations["validation"].mean("ndcg@10"))
    shown = Table(*HEAD)
    for row in known:
        shown.add_row(*cells(row))
    Console(width=200).print(shown)
    in_order = [row for row, _ in rows]  # as the lists are numbered
    print(*sentences(in_order, theirs), sep="\n")
    write_text(results / f"peers-{data}.md", page(data, in_order, theirs))


def _command() -> str:
    return (
        f"`{shlex.join(['python', *sys.argv])}` on {processor()}, {usable_cores():g} cores; DistilRec {__version__}, "
        f"Python {platform.python_version()}. Minutes are of training, beside other work on the same cores: they say "
        "what is cheap and what is not, no more."
    )


def processor() -> str:
    """The processor's own name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
