"""The report as Markdown: what the HTML says in words and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distilrec.evaluate.compare import metric_title
from distilrec.evaluate.cost import NO_COSTS
from distilrec.report.facts import Model, Recommended, RunFacts
from distilrec.report.results import MORE
from distilrec.report.sentences import lead, verdict_sentences
from distilrec.report.shown import GROUPS, MEASURES, measure_text, measure_title
from distilrec.report.side_by_side import compare_runs
from distilrec.report.splits import split_sentences
from distilrec.report.words import seconds, share

_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_<>|#"} | {"\n": " ", "\r": " "})


def markdown_page(runs: Sequence[RunFacts], *, command: str) -> str:
    """The report of one run, or of several side by side."""
    pieces = [f"# {plain(' and '.join(run.name for run in runs))}: DistilRec report"]
    if len(runs) > 1:
        pieces += ["## Runs side by side", *(plain(one.sentence) for one in compare_runs(runs))]
        pieces += map(plain, split_sentences(runs))
    for run in runs:
        pieces += _run(run, "##" if len(runs) == 1 else "###", named=len(runs) > 1)
    return "\n\n".join([*pieces, f"Made by `{command}`."]) + "\n"


def plain(text: str) -> str:
    """Text in which nothing is read as Markdown or HTML."""
    return text.translate(_SPECIAL).replace("](", "]\\(")


def _run(run: RunFacts, level: str, *, named: bool) -> Iterator[str]:
    if named:
        yield f"## {plain(run.name)}"
    yield plain(lead(run))
    yield from (plain(sentence) for sentence in run.missing)
    yield f"{level} Results"
    yield from (plain(sentence) for sentence in verdict_sentences(run))
    yield from _results(run)
    yield from (plain(note) for note in run.notes)
    if run.splits is not None:
        yield f"{level}# What two splits say"
        yield _table(*run.splits.cells())
        yield from (plain(sentence) for sentence in (*run.splits.sentences, run.splits.note))
    yield from _slices(run, level)
    yield from _shown(run, level)
    yield from _samples(run, level)
    yield from _trainings(run, level)
    yield from _costs(run, level)
    yield from _origin(run, level)


def _results(run: RunFacts) -> Iterator[str]:
    models = run.ranked
    if not models:
        yield "No model has been judged yet."
        return
    names = [name for name in dict.fromkeys([run.metric, *MORE]) if any(name in model.metrics for model in models)]
    head = ["model", *(f"{metric_title(name)} [95 %]" for name in names)]
    head += ["parameters", "bytes on disk", "ms median", "95 %", "99 %"]
    yield _table(head, [
        [
            model.title,
            *(model.metrics[name].cell() if name in model.metrics else "-" for name in names),
            f"{model.parameters:,}" if model.parameters is not None else "-",
            f"{model.bytes_on_disk:,}" if model.bytes_on_disk is not None else "-",
            *_percentiles(model),
        ]
        for model in models
    ])  # fmt: skip


def _percentiles(model: Model) -> list[str]:
    found = model.latency
    return ["-"] * 3 if found is None else [f"{value:.2f}" for value in (found.p50, found.p95, found.p99)]


def _slices(run: RunFacts, level: str) -> Iterator[str]:
    if not run.slices:
        return
    models = [model for model in run.models if any(model.name in one.metrics for one in run.slices)]
    yield f"{level} For whom"
    yield _table(["group", "users", *(model.title for model in models)], [
        [f"{one.by}: {one.label}", f"{one.count:,}", *(one.metrics[model.name].cell() for model in models)]
        for one in run.slices
    ])  # fmt: skip


def _shown(run: RunFacts, level: str) -> Iterator[str]:
    if not run.shown:
        return
    yield f"{level} What is recommended"
    names = [name for name in MEASURES if any(name in one.measures for one in run.shown)]
    yield _table(["lists of", *GROUPS, *map(measure_title, names)], [
        [
            one.title,
            *(share(part) for part in one.shares),
            *(measure_text(name, one.measures.get(name)) for name in names),
        ]
        for one in run.shown
    ])  # fmt: skip
    yield "\n".join(f"- {measure_title(name)}: {MEASURES[name]}" for name in names)


def _samples(run: RunFacts, level: str) -> Iterator[str]:
    if run.samples:
        yield f"{level} Samples"
    for one in run.samples:
        yield f"User {plain(one.user)}: {plain(', '.join(one.history))}. Chosen next: {plain(', '.join(one.chosen))}."
        lists = list(one.lists.values())
        yield _table(
            ["", *one.lists],
            [[str(place + 1), *(_at(found, place) for found in lists)] for place in range(max(map(len, lists)))],
        )


def _at(found: Sequence[Recommended], place: int) -> str:
    if place >= len(found):
        return ""
    return f"{found[place].title} (chosen)" if found[place].chosen else found[place].title


def _trainings(run: RunFacts, level: str) -> Iterator[str]:
    trained = [(model, curve) for model in run.models for curve in model.curves]
    if not trained:
        return
    yield f"{level} Training"
    yield _table(["training", "seed", "epochs", "kept", "its validation", "seconds"], [
        [
            model.title,
            "-" if curve.seed is None else str(curve.seed),
            str(len(curve.epochs)),
            str(curve.best_epoch),
            f"{curve.epochs[curve.best_epoch - 1]['score']:.4f}",
            f"{sum(float(epoch['seconds']) for epoch in curve.epochs):,.0f}",
        ]
        for model, curve in trained
    ])  # fmt: skip


def _costs(run: RunFacts, level: str) -> Iterator[str]:
    yield f"{level} Costs"
    if run.costs is not None:
        yield _table(*run.costs.cells())
    yield plain(run.costs.note if run.costs else NO_COSTS)


def _origin(run: RunFacts, level: str) -> Iterator[str]:
    yield f"{level} Data, settings, machine"
    yield "\n".join(f"- {name}: {plain(value)}" for name, value in [*run.data, *(run.machine or {}).items()])
    yield f"To make it again: `distilrec run {run.place}/recipe.yaml --out {run.place}`"
    if run.stages:
        yield _table(["stage", "time"], [
            [stage.name, "not finished" if stage.seconds is None else seconds(stage.seconds)] for stage in run.stages
        ])  # fmt: skip
    yield "\n".join(f"- {name}: `{digest}`" for name, digest in run.digests)
    if run.recipe:
        yield "````yaml\n" + run.recipe + "````"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [
        [plain(cell) for cell in head],
        ["---", *["---:"] * (len(head) - 1)],
        *([plain(c) for c in row] for row in body),
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
