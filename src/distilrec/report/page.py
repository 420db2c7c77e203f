"""The whole report as one HTML file: styles and pictures are in it, and nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import resources

from distilrec.report.costs import cost_section
from distilrec.report.evidence import sample_section, shown_section, slice_section
from distilrec.report.facts import RunFacts
from distilrec.report.html import Markup, details, element, empty, joined, table, terms
from distilrec.report.results import results_table, tiles, verdict_list
from distilrec.report.sentences import lead
from distilrec.report.side_by_side import compare_runs, runs_section
from distilrec.report.splits import both_splits
from distilrec.report.words import plural, seconds
from distilrec.report.work import latency_section, training_section

Section = Callable[[RunFacts], Markup]


def html_page(runs: Sequence[RunFacts], *, command: str) -> str:
    """The report of one run, or of several side by side.

    Args:
        command: the line that made it, for who wants to make it again.
    """
    several = len(runs) > 1
    title = " and ".join(run.name for run in runs) if len(runs) < 3 else f"{len(runs)} runs side by side"
    chapters = [piece for number, run in enumerate(runs, start=1) for piece in _chapter(run, number, several)]
    together = [_section("runs", "Runs side by side", runs_section(runs, compare_runs(runs)))] if several else []
    body = element(
        "body",
        element("a", "To the results", href="#main", class_="skip"),
        _header(runs, title),
        _contents(runs),
        element("main", *together, *chapters, id="main"),
        element("footer", element("p", "Made by ", element("code", command), ". This page works without a network.")),
    )
    return f"<!doctype html>\n{element('html', _head(f'{title}: DistilRec report'), body, lang='en')}\n"


def _head(title: str) -> Markup:
    style = (resources.files("distilrec.report") / "page.css").read_text(encoding="utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )


def _header(runs: Sequence[RunFacts], title: str) -> Markup:
    one = runs[0] if len(runs) == 1 else None
    told = lead(one) if one else f"{plural(len(runs), 'run')}, compared where they asked the same questions."
    return element(
        "header",
        element(
            "div",
            element("p", "DistilRec report", class_="over"),
            element("h1", title),
            element("p", told, class_="lead"),
            tiles(one) if one else Markup(""),
            _missing(one) if one else Markup(""),
        ),
    )


def _missing(run: RunFacts) -> Markup:
    items = [element("li", sentence) for sentence in run.missing]
    return element("ul", *items, class_="missing") if items else Markup("")


def _contents(runs: Sequence[RunFacts]) -> Markup:
    if len(runs) == 1:
        links = [(f"#{name}", title) for name, title, _ in _SECTIONS]
    else:
        links = [("#runs", "Side by side"), *((f"#run-{n}", run.name) for n, run in enumerate(runs, start=1))]
    items = [element("li", element("a", title, href=href)) for href, title in links]
    return element("nav", element("ul", *items), aria_label="Contents")


def _chapter(run: RunFacts, number: int, several: bool) -> Iterator[Markup]:
    if several:
        head = element("h2", run.name, id=f"run-{number}")
        yield element("div", head, element("p", lead(run), class_="lead"), tiles(run), _missing(run), class_="chapter")
    for name, title, content in _SECTIONS:
        yield _section(f"run-{number}-{name}" if several else name, title, content(run))


def _section(name: str, title: str, content: Markup) -> Markup:
    return element(
        "section", element("h2", title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title"
    )


def _results(run: RunFacts) -> Markup:
    notes = element("ul", *(element("li", note) for note in run.notes), class_="notes")
    return joined([
        verdict_list(run),
        element("h3", "Every model"),
        results_table(run),
        details("How this was measured", notes),
        both_splits(run),
    ])  # fmt: skip


def _origin(run: RunFacts) -> Markup:
    """What was measured on what, by what, with which settings."""
    done = [stage for stage in run.stages if stage.seconds is not None]
    stages = table(
        ["stage", "time"],
        [[stage.name, seconds(stage.seconds) if stage.seconds is not None else "not finished"] for stage in run.stages],
        caption=f"Stages, {seconds(sum(stage.seconds or 0 for stage in done))} in all",
        class_="dense",
    )
    digests = terms((name, element("code", digest, class_="digest")) for name, digest in run.digests)
    machine = run.machine or {}
    return joined([
        element("h3", "Data"),
        terms(run.data) if run.data else empty("The data folder of this run could not be read."),
        element("h3", "Machine"),
        terms(machine.items()) if machine else empty("This run did not keep on which machine it was timed."),
        element("h3", "To make it again"),
        element("pre", element("code", f"distilrec run {run.place}/recipe.yaml --out {run.place}")),
        details("Settings", element("pre", element("code", run.recipe))),
        details("Stages", stages),
        details("Digests (SHA-256)", digests),
    ])  # fmt: skip


_SECTIONS: tuple[tuple[str, str, Section], ...] = (
    ("results", "Results", _results),
    ("costs", "Quality, size and speed", cost_section),
    ("groups", "For whom", slice_section),
    ("shown", "What is recommended", shown_section),
    ("samples", "Samples", sample_section),
    ("training", "Training", training_section),
    ("latency", "Latency", latency_section),
    ("origin", "Data, settings, machine", _origin),
)
