"""The sections that people read first: what came out, what follows from it, what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from distilrec.evaluate.bootstrap import Interval
from distilrec.evaluate.compare import metric_title, p_value_text
from distilrec.evaluate.verdicts import Verdicts
from distilrec.report.drawing import key, line, mark
from distilrec.report.facts import Model, RunFacts
from distilrec.report.html import Markup, details, element, empty, joined, table
from distilrec.report.scale import linear
from distilrec.report.words import capital, milliseconds, share, size, times, unbroken

MORE = ("recall@10", "mrr")
_ALIKE = 1.05  # below it, a ratio with one place is 1.0


def tiles(run: RunFacts) -> Markup:
    """The four numbers that decide, of the distilled student."""
    found = list(_tiles(run))
    return element("div", *found, class_="tiles") if found else Markup("")


def _tiles(run: RunFacts) -> Iterator[Markup]:
    student, teacher = run.model("distilled"), run.model("teacher")
    if student is None or run.metric not in student.metrics:
        return
    quality = student.metrics[run.metric]
    yield _tile(
        metric_title(run.metric), f"{quality.mean:.4f}", f"95 % interval {quality.low:.4f} to {quality.high:.4f}"
    )
    if teacher and teacher.metrics.get(run.metric) and teacher.metrics[run.metric].mean > 0:
        ratio = quality.mean / teacher.metrics[run.metric].mean
        yield _tile("of its teacher's quality", share(ratio), _beside_teacher(run.verdicts))
    if student.bytes_on_disk:
        told = _size_beside(student.bytes_on_disk, teacher.bytes_on_disk) if teacher and teacher.bytes_on_disk else ""
        yield _tile("on disk, all counted", size(student.bytes_on_disk), told)
    if student.latency:
        yield _tile(
            "a request, median", milliseconds(student.latency.p50), f"99 % within {milliseconds(student.latency.p99)}"
        )


def _size_beside(student: int, teacher: int) -> str:
    """Bytes beside the teacher's."""
    ratio, word = (teacher / student, "smaller") if student < teacher else (student / teacher, "larger")
    return "as large as its teacher" if ratio < _ALIKE else f"{times(ratio)} {word} than its teacher"


def _tile(name: str, value: str, note: str) -> Markup:
    return element(
        "div",
        element("div", value, class_="value"),
        element("div", name, class_="name"),
        element("div", note, class_="note"),
        class_="tile",
    )


def _beside_teacher(verdicts: Sequence[Verdicts]) -> str:
    found = next((v.overall for v in verdicts if v.overall.names[1] == "the teacher"), None)
    if found is None:
        return ""
    return f"{word_of(found.differs, found.result.difference)}, {p_value_text(found.result.p_value)}"


def word_of(differs: bool, difference: float) -> str:
    """better, worse or no difference shown."""
    return ("better" if difference > 0 else "worse") if differs else "no difference shown"


def verdict_list(run: RunFacts) -> Markup:
    """What follows from the numbers, each with its evidence."""
    if not run.verdicts:
        return empty("There is no verdict: it needs the distilled student and the student alone.")
    return element("ul", *(_verdict(found) for found in run.verdicts), class_="verdicts")


def _verdict(found: Verdicts) -> Markup:
    word = word_of(found.overall.differs, found.overall.result.difference)
    look = {"better": "good", "worse": "bad"}.get(word, "neutral")
    test = found.non_inferiority
    more = [] if test is None else [element("p", unbroken(f"{capital(test.sentence())}."), class_="small")]
    told = element("div", element("p", unbroken(f"{capital(found.overall.sentence())}.")), *more)
    return element("li", element("span", word, class_=f"pill {look}"), told)


def model_name(model: Model) -> Markup:
    """A model's mark and its title."""
    return element("span", key(model.role), " ", model.title, class_="model")


def named(run: RunFacts, titles: Sequence[str]) -> tuple[list[str], list[str | None]]:
    """For rows of models by title: their marks and names, and which row is that of the distilled student."""
    models = {model.title: model for model in run.models}
    names = [model_name(models[title]) if title in models else title for title in titles]
    return names, ["ours" if title in models and models[title].name == "distilled" else None for title in titles]


def results_table(run: RunFacts) -> Markup:
    """Every model: quality with its interval, what is shipped, how long a request takes."""
    models = run.ranked
    if not models:
        return empty("No model has been judged yet.")
    more = [name for name in MORE if name != run.metric and any(name in model.metrics for model in models)]
    title = metric_title(run.metric)
    head = ["model", title, "95 % interval", *(metric_title(name) for name in more)]
    head += ["parameters", "bytes on disk", "ms, median", "ms, 99 %"]
    every = [bound for model in models for bound in (model.metrics[run.metric].low, model.metrics[run.metric].high)]
    body = [
        [
            model_name(model),
            element("b", f"{model.metrics[run.metric].mean:.4f}"),
            bar(model.metrics[run.metric], every, model.role),
            *(f"{model.metrics[name].mean:.4f}" if name in model.metrics else "-" for name in more),
            f"{model.parameters:,}" if model.parameters is not None else "-",
            f"{model.bytes_on_disk:,}" if model.bytes_on_disk is not None else "-",
            f"{model.latency.p50:.2f}" if model.latency else "-",
            f"{model.latency.p99:.2f}" if model.latency else "-",
        ]
        for model in models
    ]
    marked = ["ours" if model.name == "distilled" else None for model in models]
    return joined(
        [
            table(head, body, caption="Every model on the test cases", row_classes=marked, class_="plain"),
            _all_metrics(models),
        ]
    )


def bar(found: Interval, every: Sequence[float], role: str) -> Markup:
    """An interval as a small picture and as words; all of a column share their scale."""
    x = linear(every, 4, 116, zero=True)
    words = f"{found.low:.4f} to {found.high:.4f}"
    picture = element(
        "svg",
        line(x.start, 8, x.end, 8, class_="grid"),
        line(x(found.low), 8, x(found.high), 8, class_=f"whisker {role}"),
        mark(role, x(found.mean), 8, size=4),
        viewBox="0 0 120 16",
        class_="interval",
        aria_hidden="true",
    )
    return joined([picture, element("span", words, class_="small")])


def _all_metrics(models: Sequence[Model]) -> Markup:
    names = list(dict.fromkeys(name for model in models for name in model.metrics))
    head = ["metric", *(model.title for model in models)]
    body = [
        [metric_title(name), *(m.metrics[name].cell() if name in m.metrics else "-" for m in models)] for name in names
    ]
    inner = table(head, body, caption="Every metric with its 95 % interval", class_="dense")
    return details(f"All {len(names)} metrics with intervals", inner)


def figure(title: str, picture: Markup, note: str = "", *, legend: Markup | None = None) -> Markup:
    """A picture with a title above it, and below it what helps to read it."""
    below = [element("p", unbroken(note))] if note else []
    return element("figure", element("figcaption", title), *([legend] if legend else []), picture, *below)
