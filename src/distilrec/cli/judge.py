"""Commands that judge models: evaluate, compare, agree, cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distilrec.cli.app import app
from distilrec.cli.look import artefact_of
from distilrec.errors import SettingsError

if TYPE_CHECKING:  # polars is only needed once a command runs
    from distilrec.evaluate.evaluation import Evaluation
    from distilrec.evaluate.slices import Slicing

Model = Annotated[Path, typer.Argument(help="A run's folder or an artefact.")]
Data = Annotated[Path, typer.Argument(help="Prepared data: the folder that `distilrec data` wrote.")]
Which = Annotated[
    str, typer.Option(help="test, validation, or last_event: of a split by time, each user's last event alone.")
]
Metric = Annotated[str, typer.Option(help="What groups and models are compared by.")]
By = Annotated[
    list[str] | None, typer.Option(help="Groups by a column, user.gender or item.genres; may be given several times.")
]
Separator = Annotated[str | None, typer.Option(help='What parts several values in a column of items, such as "|".')]
ExcludeHistory = Annotated[bool, typer.Option(help="Leave items of the history out of the ranking.")]


@app.command()
def evaluate(
    model: Model,
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Where to keep every user's values.")] = None,
    cases: Which = "test",
    cutoffs: Annotated[str, typer.Option(help="Lengths of the lists that metrics look at.")] = "5,10,20",
    exclude_history: ExcludeHistory = True,
    every: Annotated[bool, typer.Option("--all", help="Print every metric: precision, F1, MAP and AUC too.")] = False,
    slices: Annotated[bool, typer.Option("--slices", help="Also groups: by history, popularity, cold ones.")] = False,
    by: By = None,
    separator: Separator = None,
    metric: Metric = "ndcg@10",
    beyond: Annotated[bool, typer.Option("--beyond", help="Also what is shown: coverage, novelty and so on.")] = False,
    vectors: Annotated[Path | None, typer.Option(help="For diversity: what `distilrec encode` wrote.")] = None,
    categories: Annotated[str | None, typer.Option(help="For diversity: a column of the items.")] = None,
) -> None:
    """Rank the whole catalogue for held-out cases and print metrics with their intervals."""
    from distilrec.cli.options import numbers_from
    from distilrec.cli.show import show_evaluation
    from distilrec.cli.show_judged import show_beyond, show_slices
    from distilrec.config import parse
    from distilrec.evaluate.slices import slice_table
    from distilrec.recommender import Recommender
    from distilrec.run.groups import catalogue_of, judge_lists, slicings_of
    from distilrec.run.recipe import EvaluateStage
    from distilrec.run.stages import judge, load_prepared, load_vectors

    chosen = {"cutoffs": numbers_from(cutoffs, "--cutoffs"), "exclude_history": exclude_history}
    settings, prepared = parse(EvaluateStage, chosen, where="options"), load_prepared(data)
    groups = slicings_of(prepared, prepared.cases(cases), columns=by or (), separator=separator)
    recommender = Recommender.from_pretrained(artefact_of(model))
    if beyond or vectors or categories:
        like = load_vectors(vectors) if vectors else None
        known = catalogue_of(prepared, vectors=like, categories=categories, separator=separator)
        found, shown = judge_lists(recommender, prepared, settings, known, on=cases)
    else:
        found, shown = judge(recommender, prepared, settings, on=cases, quiet=False), None
    if out is not None:
        found.save(out)
    show_evaluation(found, every=every)
    if slices or by:
        show_slices(slice_table(found, groups, metric=metric), metric)
    if shown is not None:
        show_beyond(found, shown)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A run's folder (its distilled student) or an evaluation's folder.")],
    b: Annotated[Path, typer.Argument(help="The same for the other side.")],
    metric: Metric = "ndcg@10",
    margin: Annotated[
        float | None, typer.Option(help="Also: is a not worse by more than this share, such as 0.01?")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Also by groups of users: the prepared data.")] = None,
    cases: Which = "test",
    by: By = None,
    separator: Separator = None,
    protocols: Annotated[
        bool, typer.Option("--protocols", help="A and B are runs on other splits: where do their verdicts disagree?")
    ] = False,
) -> None:
    """Say whether a differs from b, by a paired bootstrap over users."""
    from distilrec.cli.show_judged import show_protocols, show_verdicts
    from distilrec.evaluate.evaluation import Evaluation
    from distilrec.evaluate.protocols import compare_protocols
    from distilrec.evaluate.verdicts import MARGIN, verdicts

    if protocols:
        show_protocols(compare_protocols({str(path): _evaluations_in(path) for path in (a, b)}, metric=metric))
        return
    ours, theirs = (Evaluation.load(_evaluation_of(path)) for path in (a, b))
    groups, lost = _groups_of(data, cases, by, separator), MARGIN if margin is None else margin
    found = verdicts(ours, theirs, groups, metric=metric, margin=lost, names=(str(a), str(b)))
    show_verdicts(found, with_margin=margin is not None)


@app.command()
def agree(
    student: Model,
    teacher: Annotated[Path, typer.Argument(help="The other model: a run's folder or an artefact.")],
    data: Data,
    cases: Which = "test",
    k: Annotated[int, typer.Option("-k", help="Length of the lists.")] = 10,
    temperature: Annotated[float, typer.Option(help="What scores are divided by for the divergence.")] = 1.0,
    exclude_history: ExcludeHistory = True,
) -> None:
    """Say how alike two models are: their lists, and their shares over the whole catalogue."""
    from distilrec.cli.show_judged import show_agreement
    from distilrec.evaluate.agreement import agreement, divergence
    from distilrec.evaluate.lists import top_lists
    from distilrec.recommender import Recommender
    from distilrec.run.stages import check_same_catalogue, load_prepared

    prepared = load_prepared(data)
    asked, models = prepared.cases(cases), []
    for path in (student, teacher):
        models.append(Recommender.from_pretrained(artefact_of(path)))
        check_same_catalogue(models[-1], prepared, str(path))
    ours, theirs = (top_lists(model, asked, k=k, exclude_history=exclude_history) for model in models)
    apart = divergence(models[0], models[1], asked, temperature=temperature, exclude_history=exclude_history)
    show_agreement(agreement(ours, theirs), apart)


@app.command()
def cost(
    model: Model,
    data: Annotated[
        Path | None, typer.Argument(help="Prepared data; left out, all models of a run, kept in its results and card.")
    ] = None,
    requests: Annotated[int, typer.Option(help="How many requests are timed.")] = 200,
    price: Annotated[float | None, typer.Option(help="Of a core for an hour, in any currency.")] = None,
    watts: Annotated[float, typer.Option(help="Power of a busy core, where energy must be estimated.")] = 5.0,
) -> None:
    """Measure what models cost to serve: latency, throughput, memory, load time, energy and money."""
    from distilrec.cli.show import print_table, show_costs
    from distilrec.config import parse
    from distilrec.costs import measure_cost
    from distilrec.energy import EnergySettings
    from distilrec.evaluate.cost import CostSettings
    from distilrec.run.costs import add_costs
    from distilrec.run.finished import some_histories
    from distilrec.run.stages import load_prepared

    if data is None:
        if not (model / "run.json").is_file():
            raise SettingsError(
                f"{model} is not a run's folder; name the prepared data too, from which histories are taken"
            )
        settings = parse(CostSettings, {"watts_per_core": watts, "price_per_core_hour": price}, where="options")
        show_costs(add_costs(model, settings, requests=requests, say=typer.echo).costs)
        return
    histories = some_histories(load_prepared(data))
    found = measure_cost(artefact_of(model), histories, requests=requests, energy=EnergySettings(watts_per_core=watts))
    print_table(["on one thread", "measured"], [list(line) for line in found.lines(per_core_hour=price)])


def _groups_of(data: Path | None, cases: str, by: list[str] | None, separator: str | None) -> list[Slicing]:
    from distilrec.run.groups import slicings_of
    from distilrec.run.stages import load_prepared

    if data is None:
        if by:
            raise SettingsError("--by needs the prepared data that the columns are in; add --data")
        return []
    prepared = load_prepared(data)
    return slicings_of(prepared, prepared.cases(cases), columns=by or (), separator=separator)


def _evaluation_of(path: Path) -> Path:
    inside = path / "evaluation" / "distilled"
    return inside if inside.is_dir() else path


def _evaluations_in(run: Path) -> dict[str, Evaluation]:
    from distilrec.evaluate.evaluation import Evaluation
    from distilrec.files import is_leftover

    folders = sorted(path.parent for path in (run / "evaluation").glob("*/per_user.parquet"))
    whole = [folder for folder in folders if not is_leftover(folder.relative_to(run))]
    return {folder.name: Evaluation.load(folder) for folder in whole}
