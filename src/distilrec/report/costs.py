"""What models cost: quality against size and time as pictures, everything else as a table."""

from __future__ import annotations

from collections.abc import Sequence

from distilrec.evaluate.compare import metric_title
from distilrec.evaluate.cost import NO_COSTS
from distilrec.report.charts import Point, quality_against_cost
from distilrec.report.facts import Model, RunFacts
from distilrec.report.html import Markup, element, empty, joined, table
from distilrec.report.results import figure, named
from distilrec.report.words import number, size, unbroken


def cost_section(run: RunFacts) -> Markup:
    """Pictures, then the table."""
    return joined([_charts(run), element("h3", "What each model costs to serve"), *_table(run)])


def _table(run: RunFacts) -> list[Markup]:
    if run.costs is None:
        return [empty(NO_COSTS)]
    head, body = run.costs.cells()
    names, marked = named(run, [title for title, *_ in body])
    rows = [[name, *cells] for name, (_, *cells) in zip(names, body, strict=True)]
    costs = table(head, rows, caption="What each model costs to serve", row_classes=marked, class_="plain wrapped")
    return [costs, element("p", unbroken(run.costs.note), class_="small")]


def _charts(run: RunFacts) -> Markup:
    """Quality against size, and against latency."""
    title = metric_title(run.metric)
    sized = [(m, float(m.bytes_on_disk)) for m in run.ranked if m.bytes_on_disk]
    timed = [(m, m.latency.p50) for m in run.ranked if m.latency]
    if not sized and not timed:
        return empty("Sizes and latencies are measured when the run is finished.")
    charts = []
    if sized:
        drawn = quality_against_cost(_points(run, sized), cost="bytes on disk", quality=title, cost_text=size)
        told = "Everything that is shipped counts. The dashed stair is the frontier: nothing smaller is as good."
        charts.append(figure("Against size", drawn, told))
    if timed:
        cost = "milliseconds a request, median"
        drawn = quality_against_cost(_points(run, timed), cost=cost, quality=title, cost_text=number)
        told = "On one thread, from the history's item ids to ten ranked ids."
        charts.append(figure("Against time", drawn, told))
    return element("div", *charts, class_="charts")


def _points(run: RunFacts, models: Sequence[tuple[Model, float]]) -> list[Point]:
    return [Point(model.title, model.role, cost, model.metrics[run.metric]) for model, cost in models]
