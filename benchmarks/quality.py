"""Proof that teachers help: students, methods and controls on one data set, in one table with plots.

    python benchmarks/quality.py recipes/quality/beauty.yaml

Each cell (student, method, seed) is trained once: interrupted, the same command goes on where it stopped; done, it
prints the table again. A second process with the same command takes the cells that are free. `--print` trains nothing
and shows what is done. Teachers come from `make bench-teachers`.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from distilrec import __version__
from distilrec.config import apply_overrides, load_yaml, parse
from distilrec.doctor import usable_cores
from distilrec.errors import DistilRecError, MissingExtraError
from distilrec.files import atomic_path, write_text
from distilrec.run.quality.cells import cells_of, chosen
from distilrec.run.quality.frames import frame_of_cells, frame_of_users
from distilrec.run.quality.page import markdown, notes, sentences, text_cells
from distilrec.run.quality.plots import plot_curves, plot_size
from distilrec.run.quality.proof import Proof
from distilrec.run.quality.settings import QualityRecipe
from distilrec.run.quality.table import ProofTable, make_table
from distilrec.run.quality.work import work_through

_RECIPES = [Path("recipes/quality/beauty.yaml"), Path("recipes/quality/ml-1m.yaml")]


def main() -> None:
    """Read the command line, work, show."""
    options = _options()
    try:
        for path in options.recipe:
            recipe = parse(QualityRecipe, apply_overrides(load_yaml(path), options.set), where=str(path))
            prove(recipe, path.stem, options)
    except DistilRecError as error:
        sys.exit(str(error))


def prove(recipe: QualityRecipe, name: str, options: argparse.Namespace) -> None:
    """Do what is left of one recipe, and write and print what is known."""
    proof = Proof(recipe, options.out / name)
    if not options.print:
        work_through(proof, chosen(cells_of(recipe), only=options.only, seeds=options.seeds))
    outcomes = [found for cell in cells_of(recipe) if (found := proof.outcome(cell)) is not None]
    teachers = proof.teachers()
    table = make_table(recipe, outcomes, teachers)
    if outcomes:
        title = f"{recipe.name}: what distillation gives"
        written = options.results / f"quality-{name}"
        write_text(written.with_suffix(".md"), markdown(table, title=title, facts=[_machine(), *_pictures(name)]))
        write_text(written.with_suffix(".csv"), frame_of_cells(recipe, outcomes).write_csv())
        with atomic_path(proof.out / "per_user.parquet") as temporary:
            frame_of_users(outcomes, teachers).write_parquet(temporary)
        try:
            plot_size(table, options.results / f"quality-{name}-size.svg", title=recipe.name)
            plot_curves(table, outcomes, options.results / f"quality-{name}-curves.svg", title=recipe.name)
        except MissingExtraError as error:
            print(f"no plots: {error}")
    _show(table)


def _show(table: ProofTable) -> None:
    head, rows = text_cells(table)
    shown = Table(*head)
    for before, row in zip([[""], *rows], rows, strict=False):
        if row[0] != before[0]:
            shown.add_section()
        shown.add_row(*row)
    Console(width=230).print(shown)
    print(*sentences(table), *notes(table), sep="\n")


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return (
        f"`{shlex.join(['python', *sys.argv])}` on {processor}, {usable_cores():g} cores, {torch.get_num_threads()} "
        f"threads; DistilRec {__version__}, Python {platform.python_version()}, torch {torch.__version__}."
    )


def _pictures(name: str) -> list[str]:
    return [f"![quality against size](quality-{name}-size.svg) ![validation](quality-{name}-curves.svg)"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="*", default=_RECIPES, help="data, teacher, students and methods")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="where to keep everything")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results"), help="where tables and plots go")
    parser.add_argument("--only", help="a regular expression; cells are named student/method/seed")
    parser.add_argument("--seeds", type=_numbers, help="only these, as in 0,1")
    parser.add_argument("--print", action="store_true", help="train nothing; show what is done")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
