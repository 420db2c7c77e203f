"""Several runs: what each came to, and how they compare where they asked the same questions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from distilrec.errors import DataError
from distilrec.evaluate.compare import Comparison, compare, metric_title, p_value_text
from distilrec.evaluate.evaluation import check_same_cases
from distilrec.evaluate.verdicts import holm
from distilrec.report.charts import Point, quality_against_cost
from distilrec.report.facts import Model, RunFacts
from distilrec.report.html import Markup, element, empty, joined, table
from distilrec.report.results import figure, model_name, word_of
from distilrec.report.splits import split_sentences
from distilrec.report.words import capital, number, size, unbroken

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")  # its beginning tells as much
_TRAINED = ("student_alone", "teacher", "distilled")


@dataclass(frozen=True)
class Beside:
    """The distilled students of two runs beside each other."""

    names: tuple[str, str]
    comparison: Comparison | None
    """None where they can't be compared."""
    p_value: float | None
    """Corrected for the number of pairs."""
    why_not: str = ""

    @property
    def word(self) -> str:
        """better, worse, no difference shown or not compared; said of the first."""
        if self.comparison is None or self.p_value is None:
            return "not compared"
        return word_of(self.comparison.differs_at(self.p_value), self.comparison.result.difference)

    @property
    def sentence(self) -> str:
        """What was found after the correction, or why nothing can be."""
        if self.comparison is None or self.p_value is None:
            return f"{capital(self.why_not)}."
        told = capital(self.comparison.sentence(corrected_p=self.p_value))
        return f"{told}; corrected for the number of pairs, {p_value_text(self.p_value)}."


def compare_runs(runs: Sequence[RunFacts]) -> list[Beside]:
    """Every later run beside the first one."""
    names = names_of(runs)
    found = [_compare(runs[0], other, (names[n], names[0])) for n, other in enumerate(runs) if n]
    known = iter(holm([one.comparison.result.p_value for one in found if one.comparison]))
    return [Beside(o.names, o.comparison, next(known) if o.comparison else None, o.why_not) for o in found]


def _compare(first: RunFacts, other: RunFacts, names: tuple[str, str]) -> Beside:
    ours, theirs = other.model("distilled"), first.model("distilled")
    if ours is None or ours.evaluation is None or theirs is None or theirs.evaluation is None:
        which = names[1] if theirs is None or theirs.evaluation is None else names[0]
        return Beside(names, None, None, f"{which} has no distilled student that was judged")
    if first.metric != other.metric:
        why = f"{names[0]} goes by {metric_title(other.metric)} and {names[1]} by {metric_title(first.metric)}"
        return Beside(names, None, None, f"{why}; set evaluate.metric alike to compare them")
    try:
        check_same_cases(ours.evaluation, theirs.evaluation, names=names)
    except DataError as error:
        return Beside(names, None, None, _DIGEST.sub(r"\1", str(error)))
    return Beside(names, compare(ours.evaluation, theirs.evaluation, metric=first.metric, names=names), None)


def names_of(runs: Sequence[RunFacts]) -> list[str]:
    """The runs' names; with their folders where two have the same."""
    names = [run.name for run in runs]
    return [f"{run.name} ({run.place})" if names.count(run.name) > 1 else run.name for run in runs]


def runs_section(runs: Sequence[RunFacts], beside: Sequence[Beside]) -> Markup:
    """The runs in one table and one pair of pictures, and what follows."""
    looks = {"better": "good", "worse": "bad"}
    verdicts = [
        element(
            "li",
            element("span", one.word, class_=f"pill {looks.get(one.word, 'neutral')}"),
            element("p", unbroken(one.sentence)),
        )
        for one in beside
    ]
    return joined([
        element("p", f"The distilled student of each run beside that of the first, {names_of(runs)[0]}."),
        element("ul", *verdicts, class_="verdicts"),
        *_splits(runs),
        element("h3", "Trained models of every run"),
        _table(runs),
        *_charts(runs, beside),
    ])  # fmt: skip


def _splits(runs: Sequence[RunFacts]) -> list[Markup]:
    """Where splits of the same data disagree."""
    items = [element("li", unbroken(sentence)) for sentence in split_sentences(runs)]
    return [element("h3", "What different splits say"), element("ul", *items, class_="notes")] if items else []


def _table(runs: Sequence[RunFacts]) -> Markup:
    head = ["run", "model", "measured by", "mean [95 %]", "users", "parameters", "bytes on disk", "ms, median"]
    body = [
        [
            name,
            model_name(model),
            metric_title(run.metric),
            model.metrics[run.metric].cell(),
            f"{len(model.evaluation.per_user):,}" if model.evaluation else "-",
            f"{model.parameters:,}" if model.parameters is not None else "-",
            f"{model.bytes_on_disk:,}" if model.bytes_on_disk is not None else "-",
            f"{model.latency.p50:.2f}" if model.latency else "-",
        ]
        for run, name in zip(runs, names_of(runs), strict=True)
        for model in _trained(run)
    ]
    if not body:
        return empty("No run has a trained model that was judged.")
    return table(head, body, caption="Trained models", numeric_from=3, class_="plain")


def _trained(run: RunFacts) -> list[Model]:
    return [model for model in run.ranked if model.name in _TRAINED]


def _charts(runs: Sequence[RunFacts], beside: Sequence[Beside]) -> list[Markup]:
    """Of the runs that can be compared with the first: values measured on other cases mean nothing side by side."""
    alike = [0, *(n for n, one in enumerate(beside, start=1) if one.comparison is not None)]
    names, title = names_of(runs), metric_title(runs[0].metric)
    chosen = [(names[n], runs[n], model) for n in alike for model in _trained(runs[n])]
    charts = []
    for cost, of in (("bytes on disk", _size), ("milliseconds a request, median", _time)):
        points = [
            Point(f"{model.title}, {name}", model.role, value, model.metrics[run.metric])
            for name, run, model in chosen
            if (value := of(model)) is not None
        ]
        if points:
            drawn = quality_against_cost(points, cost=cost, quality=title, cost_text=size if of is _size else number)
            charts.append(figure(f"Against {cost}", drawn, "Only runs that asked the same questions as the first."))
    return [element("h3", "Quality against cost"), element("div", *charts, class_="charts")] if charts else []


def _size(model: Model) -> float | None:
    return float(model.bytes_on_disk) if model.bytes_on_disk else None


def _time(model: Model) -> float | None:
    return model.latency.p50 if model.latency else None
