"""The command that searches for the best compressed model under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from distilrec.cli.app import app
from distilrec.errors import SettingsError

if TYPE_CHECKING:  # only needed once the command runs
    from distilrec.compress.budget import Preference
    from distilrec.tune.subject import Teacher as WhoTeaches

Choice = TypeVar("Choice", bound=str)
_PREFERENCES: tuple[Preference, ...] = ("quality", "size", "latency", "energy")
_TEACHERS: tuple[WhoTeaches, ...] = ("itself", "run")
_BUDGET, _TRIED, _ARTEFACT = "Budget, one limit at least", "What is tried", "Of an artefact instead of a run"

Run = Annotated[Path, typer.Argument(help="A run's folder, whose distilled student is compressed, or an artefact.")]
Size = Annotated[str | None, typer.Option(help="Bytes of all that is shipped: 1MB, 500kB.", rich_help_panel=_BUDGET)]
Latency = Annotated[
    float | None,
    typer.Option(help="Milliseconds of the median request on one thread of this machine.", rich_help_panel=_BUDGET),
]
Energy = Annotated[
    str | None, typer.Option(help="Energy of a thousand requests: 0.5J, 500mJ.", rich_help_panel=_BUDGET)
]
Loss = Annotated[str | None, typer.Option(help="Share of quality on validation: 1% or 0.01.", rich_help_panel=_BUDGET)]
By = Annotated[
    str,
    typer.Option(
        help="What a loss is judged by: shown (a test rules out a larger one) or its mean.", rich_help_panel=_BUDGET
    ),
]
Prefer = Annotated[
    str | None,
    typer.Option(
        help="What is made best within the budget: quality, size, latency or energy. Left out: size where --max-loss "
        "is given, else quality.",
        rich_help_panel=_BUDGET,
    ),
]
Watts = Annotated[
    float,
    typer.Option(
        help="Power of a busy core, where energy has to be estimated from processor time.", rich_help_panel=_BUDGET
    ),
]
Only = Annotated[
    str | None,
    typer.Option(help="A regular expression: only steps whose name has it.", rich_help_panel=_TRIED),
]
Try = Annotated[
    Path | None,
    typer.Option("--try", help="A YAML file with combinations of methods of your own.", rich_help_panel=_TRIED),
]
Trainings = Annotated[
    int | None, typer.Option(min=0, help="At most how many points are trained.", rich_help_panel=_TRIED)
]
Everything = Annotated[
    bool, typer.Option("--all", help="Train every point: the whole frontier.", rich_help_panel=_TRIED)
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Of each training. Left out: three eighths of those of a run's student, 22 for a saved model.",
        rich_help_panel=_TRIED,
    ),
]
Teacher = Annotated[
    str,
    typer.Option(
        help="Whom a student that is trained again learns from: itself, as it was, or the run, as it did before.",
        rich_help_panel=_TRIED,
    ),
]
Data = Annotated[Path | None, typer.Option(help="The prepared data.", rich_help_panel=_ARTEFACT)]
KnowledgeFolders = Annotated[
    list[Path] | None, typer.Option(help="A knowledge folder to learn from.", rich_help_panel=_ARTEFACT)
]
Out = Annotated[Path | None, typer.Option(help="Where points go; compressed/ in the run when left out.")]
Test = Annotated[bool, typer.Option("--test", help="Look at test, once, for the chosen point.")]


@app.command()
def compress(
    run: Run,
    max_size: Size = None,
    max_latency_ms: Latency = None,
    max_energy: Energy = None,
    max_loss: Loss = None,
    by: By = "shown",
    prefer: Prefer = None,
    watts_per_core: Watts = 5.0,
    only: Only = None,
    candidates: Try = None,
    trainings: Trainings = None,
    everything: Everything = False,
    epochs: Epochs = None,
    teacher: Teacher = "itself",
    data: Data = None,
    knowledge: KnowledgeFolders = None,
    out: Out = None,
    test: Test = False,
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
    wanted = _one_of(_PREFERENCES, prefer, "--prefer") if prefer is not None else None
    if out is None and not (run / "recipe.yaml").is_file() and run.is_dir():
        raise SettingsError(f"{run} is no run's folder, so say where points go: --out FOLDER")
    subject = subject_of(
        run, data=data, knowledge=knowledge or (), epochs=epochs, teacher=_one_of(_TEACHERS, teacher, "--teacher")
    )
    own = tuple(read_candidates(candidates, ladder(subject.recommender))) if candidates is not None else ()
    energy = parse(EnergySettings, {"watts_per_core": watts_per_core}, where="options")
    told = Search(budget, wanted, own, only, everything, trainings, energy)
    found = search(subject, out or run / "compressed", told)
    ship(found, subject)
    show_found(found)
    if test:
        show_test(*judge_once(found, subject))


def _one_of(choices: tuple[Choice, ...], text: str, option: str) -> Choice:
    for known in choices:
        if text == known:
            return known
    raise SettingsError(f"{option} {text!r} is unknown; choose {', '.join(choices[:-1])}, or {choices[-1]}")
