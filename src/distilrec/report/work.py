"""How training and requests went."""

from __future__ import annotations

import math
from collections.abc import Sequence

from distilrec.evaluate.compare import metric_title
from distilrec.report.charts import Line, curves, histogram
from distilrec.report.facts import Curve, Model, RunFacts
from distilrec.report.html import Markup, details, element, empty, joined, table
from distilrec.report.results import figure
from distilrec.report.words import capital


def training_section(run: RunFacts) -> Markup:
    """Validation after each epoch, and the parts of the loss."""
    trained = [model for model in run.models if model.curves]
    if not trained:
        return empty("No training has finished an epoch yet.")
    lines = [
        Line(_curve_name(model, curve), model.role, [epoch["score"] for epoch in curve.epochs], curve.best_epoch)
        for model in trained
        for curve in model.curves[:1]
    ]
    title = f"validation {metric_title(run.metric)}"
    drawn = curves(lines, title=f"{capital(title)} after each epoch", y_title=title)
    first = figure("Validation after each epoch", drawn, "The mark is the epoch whose weights were kept.")
    losses = [_loss_chart(model) for model in trained]
    return joined([element("div", first, *losses, class_="charts"), _training_table(trained)])


def _curve_name(model: Model, curve: Curve) -> str:
    return model.title if curve.seed is None or len(model.curves) == 1 else f"{model.title}, seed {curve.seed}"


def _loss_chart(model: Model) -> Markup:
    curve = model.curves[0]
    names = ["loss", *curve.parts]
    lines = [
        Line(name.replace("_", " "), f"series-{number % 6}", [epoch.get(name, math.nan) for epoch in curve.epochs])
        for number, name in enumerate(names)
    ]
    title = f"Loss of the {model.title}"
    told = (
        "Its parts are shown before they are weighted; one has no line where it was not part of the loss."
        if curve.parts
        else ""
    )
    return figure(title, curves(lines, title=title, y_title="loss"), told)


def _training_table(trained: Sequence[Model]) -> Markup:
    body = [
        [
            _curve_name(model, curve),
            str(len(curve.epochs)),
            str(curve.best_epoch),
            f"{curve.epochs[curve.best_epoch - 1]['score']:.4f}",
            f"{sum(float(epoch['seconds']) for epoch in curve.epochs):,.0f}",
        ]
        for model in trained
        for curve in model.curves
    ]
    head = ["training", "epochs", "kept", "its validation", "seconds in all"]
    return details("Every training as numbers", table(head, body, caption="Trainings", class_="dense"))


def latency_section(run: RunFacts) -> Markup:
    """How long requests took."""
    timed = [model for model in run.models if model.latency]
    if not timed:
        return empty("Latency is measured when the run is finished.")
    head = ["model", "median", "95 %", "99 %", "requests"]
    body = [
        [
            m.title,
            f"{m.latency.p50:.2f} ms",
            f"{m.latency.p95:.2f} ms",
            f"{m.latency.p99:.2f} ms",
            str(m.latency.requests),
        ]
        for m in timed
        if m.latency
    ]
    numbers = table(head, body, caption="Latency on one thread", class_="dense")
    raw = [(model.title, model.role, model.milliseconds) for model in timed if len(model.milliseconds)]
    if not raw:
        told = (
            "This run kept percentiles only. Runs made now keep the time of each request, and show it as a histogram."
        )
        return joined([numbers, empty(told)])
    told = "Bars count requests; the ticks below a strip are its median, 95 % and 99 %."
    drawn = figure("Every request", histogram(raw, title="Milliseconds a request"), told)
    return element("div", drawn, numbers, class_="charts")
