"""The same models under different splits, of one run or of several: where the verdicts about them disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distilrec.evaluate.compare import metric_title
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.protocols import compare_protocols
from distilrec.report.alike import asked_alike
from distilrec.report.facts import RunFacts
from distilrec.report.html import Markup, element, joined, table
from distilrec.report.results import bar, named
from distilrec.report.words import capital, unbroken


def both_splits(run: RunFacts) -> Markup:
    """What the two splits of one run say; nothing for a run that has one."""
    both = run.splits
    if both is None:
        return Markup("")
    roles = {model.title: model.role for model in run.models}
    bounds = {
        split: [bound for found in both.intervals.values() for bound in (found[split].low, found[split].high)]
        for split in both.users
    }

    def cells(model: str) -> Iterator[str]:
        for split, found in both.intervals[model].items():
            yield f"{found.mean:.4f}"
            yield bar(found, bounds[split], roles.get(model, "baseline"))

    names, marked = named(run, list(both.intervals))
    rows = [[name, *cells(model)] for name, model in zip(names, both.intervals, strict=True)]
    title = metric_title(both.metric)
    head = ["model", *(name for split in both.users for name in (f"{title}, {split}", "95 % interval"))]
    return joined([
        element("h3", "What two splits say"),
        element("ul", *(element("li", unbroken(sentence)) for sentence in both.sentences), class_="notes"),
        table(head, rows, caption="Every model on both splits", row_classes=marked, class_="plain wrapped"),
        element("p", both.note, class_="small"),
    ])  # fmt: skip


def split_sentences(runs: Sequence[RunFacts]) -> list[str]:
    """What each two splits say of each two models; those on which they differ come first."""
    found = [pair for protocols in _same_data(runs) for pair in compare_protocols(protocols, metric=runs[0].metric)]
    return [f"{capital(pair.sentence())}." for pair in sorted(found, key=lambda pair: pair.agree)]


def _same_data(runs: Sequence[RunFacts]) -> list[dict[str, dict[str, Evaluation]]]:
    """For each log that was split in several ways, split -> model -> evaluation; of runs split alike, the first."""
    by_data: dict[str, dict[str, dict[str, Evaluation]]] = {}
    for run in runs:
        digest, kind = dict(run.digests).get("data"), dict(run.data).get("Split")
        models = {
            model.title: model.evaluation
            for model in asked_alike(run.models)
            if model.role != "baseline" and model.evaluation and runs[0].metric in model.evaluation.metrics
        }
        if digest and kind and len(models) > 1:
            by_data.setdefault(digest, {}).setdefault(kind, models)
    several = [protocols for protocols in by_data.values() if len(protocols) > 1]
    return [one for one in several if len(set.intersection(*(set(models) for models in one.values()))) > 1]
