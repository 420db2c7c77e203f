"""The command that searches for the best compressed model under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distilrec.cli.app import app
from distilrec.errors import SettingsError

if TYPE_CHECKING:  # only needed once the command runs
    from distilrec.compress.budget import Preference

_PREFERENCES: tuple[Preference, ...] = ("quality", "size", "latency", "energy")


@app.command()
def compress(
    run: Annotated[Path, typer.Argument(help="A run's folder, whose distilled student is compressed, or an artefact.")],
    max_size: Annotated[str | None, typer.Option(help="Bytes of all that is shipped: 1MB, 500kB.")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Milliseconds of the median request on one thread of this machine.")
    ] = None,
    max_energy: Annotated[str | None, typer.Option(help="Energy of a thousand requests: 0.5J, 500mJ.")] = None,
    max_loss: Annotated[str | None, typer.Option(help="Share of quality on validation: 1% or 0.01.")] = None,
    by: Annotated[
        str, typer.Option(help="What a loss is judged by: shown (a test rules out a larger one) or its mean.")
    ] = "shown",
    prefer: Annotated[
        str | None,
        typer.Option(
            help="What is made best within the budget: quality, size, latency or energy. Left out: size where "
            "--max-loss is given, else quality."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where points go; compressed/ in the run when left out.")] = None,
    data: Annotated[Path | None, typer.Option(help="Of an artefact: the prepared data.")] = None,
    knowledge: Annotated[
        list[Path] | None, typer.Option(help="Of an artefact: a knowledge folder to learn from.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of each training; a quarter of the student's when left out.")
    ] = None,
    trainings: Annotated[int | None, typer.Option(min=0, help="At most how many points are trained.")] = None,
    candidates: Annotated[
        Path | None, typer.Option("--try", help="A YAML file with combinations of methods of your own.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Train every point: the whole frontier.")] = False,
    watts_per_core: Annotated[
        float, typer.Option(help="Power of a busy core, where energy has to be estimated from processor time.")
    ] = 5.0,
    test: Annotated[bool, typer.Option("--test", help="Look at test, once, for the chosen point.")] = False,
) -> None:
    """Find the best compressed model under a budget.

    Tries combinations of methods, trains again those that it could pay for, measures bytes, latency and quality on
    validation, prints the frontier, and leaves the chosen model in artefact/ of the output folder. Points that were
    tried are kept; an interrupted search goes on where it stopped.
    """
    from distilrec.cli.show_compressed import show_found, show_test
    from distilrec.compress.budget import budget_from
    from distilrec.compress.ladder import ladder, read_candidates
    from distilrec.config import parse
    from distilrec.energy import EnergySettings
    from distilrec.tune.compression import Search, search
    from distilrec.tune.shipping import judge_once, ship
    from distilrec.tune.subject import subject_of

    budget = budget_from(size=max_size, latency_ms=max_latency_ms, energy=max_energy, loss=max_loss, by=by)
    wanted = _preference(prefer)
    if out is None and not (run / "recipe.yaml").is_file() and run.is_dir():
        raise SettingsError(f"{run} is no run's folder, so say where points go: --out FOLDER")
    subject = subject_of(run, data=data, knowledge=knowledge or (), epochs=epochs)
    own = tuple(read_candidates(candidates, ladder(subject.recommender))) if candidates is not None else ()
    energy = parse(EnergySettings, {"watts_per_core": watts_per_core}, where="options")
    told = Search(budget, wanted, own, everything, trainings, energy)
    found = search(subject, out or run / "compressed", told)
    ship(found, subject)
    show_found(found)
    if test:
        show_test(*judge_once(found, subject))


def _preference(text: str | None) -> Preference | None:
    if text is None:
        return None
    for known in _PREFERENCES:
        if text == known:
            return known
    raise SettingsError(f"--prefer {text!r} is unknown; choose {', '.join(_PREFERENCES)}")
