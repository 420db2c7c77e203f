"""The sections behind the results: for whom, what is recommended, what a few users are shown."""

from __future__ import annotations

from collections.abc import Sequence

from distilrec.evaluate.compare import metric_title, p_value_text
from distilrec.evaluate.verdicts import Verdict
from distilrec.report.charts import Row, intervals, shares
from distilrec.report.drawing import key
from distilrec.report.facts import Model, Recommended, RunFacts, Sample, Slice
from distilrec.report.html import Markup, details, element, empty, joined, table, terms
from distilrec.report.results import figure, model_name
from distilrec.report.shown import GROUPS, MEASURES, measure_text, measure_title
from distilrec.report.words import capital, plural, share
from distilrec.run.results import TITLES

_SHOWN_BY_ROLE = ("student_alone", "teacher", "distilled")


def slice_section(run: RunFacts) -> Markup:
    """Each model on groups of users."""
    if not run.slices:
        return empty("Groups of users need the run's data folder and its evaluations.")
    by: dict[str, list[Slice]] = {}
    for one in run.slices:
        by.setdefault(one.by, []).append(one)
    charts = [_slice_chart(run, name, found) for name, found in by.items()]
    return joined([
        element("p", "Each group is ranked among the whole catalogue; lines are 95 % intervals over its users."),
        _legend([model for model in run.models if model.role in _SHOWN_BY_ROLE and run.metric in model.metrics]),
        element("div", *charts, class_="charts"),
        details("Every group as numbers, with verdicts", _slice_table(run)),
    ])  # fmt: skip


def _slice_chart(run: RunFacts, name: str, found: Sequence[Slice]) -> Markup:
    rows = [
        Row(one.label, plural(one.count, "user"), {r: one.metrics[r] for r in _SHOWN_BY_ROLE if r in one.metrics})
        for one in found
    ]
    title = metric_title(run.metric)
    return figure(f"By {name}", intervals(rows, title=f"{title} by {name}", x_title=title))


def _slice_table(run: RunFacts) -> Markup:
    verdicts = {found.overall.names[1]: {(v.slicing, v.label): v for v in found.groups} for found in run.verdicts}
    models = [model for model in run.models if any(model.name in one.metrics for one in run.slices)]
    head = ["group", "users", *(model.title for model in models), *(f"distilled beside {other}" for other in verdicts)]
    body = [
        [
            f"{capital(one.by)}: {one.label}",
            f"{one.count:,}",
            *(one.metrics[model.name].cell() if model.name in one.metrics else "-" for model in models),
            *(_group_verdict(groups.get((one.by, one.label))) for groups in verdicts.values()),
        ]
        for one in run.slices
    ]
    caption = f"{metric_title(run.metric)} by group; verdicts corrected for being several (Holm)"
    return table(head, body, caption=caption, class_="dense")


def _group_verdict(found: Verdict | None) -> str:
    if found is None or found.p_value is None:
        return "too few users to judge"
    not_worse = "" if found.word == "better" else f"; not worse by 1 %: {'yes' if found.not_worse else 'not shown'}"
    return f"{found.word}, {p_value_text(found.p_value)}{not_worse}"


def _legend(models: Sequence[Model]) -> Markup:
    items = [element("li", key(model.role), element("span", model.title)) for model in models]
    return element("ul", *items, class_="legend")


def shown_section(run: RunFacts) -> Markup:
    """How popular what is recommended is."""
    if not run.shown:
        return empty("This run kept no lists. distilrec report asks its models when their artefacts are there.")
    bars = [(one.title, one.shares) for one in run.shown]
    legend = element("ul", *(
        element("li", element("span", "", class_=f"swatch part-{n}"), element("span", name))
        for n, name in enumerate(GROUPS)
    ), class_="legend")  # fmt: skip
    told = (
        "Where the places of every user's list go. The head is the fewest items that hold a third of the training "
        "events, the middle the next third; all others are the tail."
    )
    drawn = figure("Places of lists", shares(bars, names=GROUPS, title="Places of lists by popularity"), legend=legend)
    return joined([element("p", told), element("div", drawn, _measures(run), class_="charts"), _shown_table(run)])


def _measures(run: RunFacts) -> Markup:
    """Beyond accuracy: a line for each model."""
    rows = [one for one in run.shown if one.measures]
    names = [name for name in MEASURES if any(name in one.measures for one in rows)]
    body = [[one.title, *(measure_text(name, one.measures.get(name)) for name in names)] for one in rows]
    meanings = terms((measure_title(name), MEASURES[name]) for name in names)
    found = table(["lists of", *map(measure_title, names)], body, caption="Beyond accuracy", class_="dense")
    return element("div", found, details("What these mean", meanings))


def _shown_table(run: RunFacts) -> Markup:
    body = [[one.title, *(share(part) for part in one.shares)] for one in run.shown]
    inner = table(["lists of", *GROUPS], body, caption="Places of lists by popularity", class_="dense")
    return details("Places of lists as numbers", inner)


def sample_section(run: RunFacts) -> Markup:
    """A few users side by side."""
    if not run.samples:
        return empty("Samples need the lists that models showed; this run has none.")
    told = (
        "Users are chosen by their place in the test, not by how well a model did. What the user did choose next is "
        "marked as chosen; a dot marks what the teacher shows too."
    )
    return joined([element("p", told), *(_sample(run, one) for one in run.samples)])


def _sample(run: RunFacts, one: Sample) -> Markup:
    titles = list(one.lists)
    longest = max(len(found) for found in one.lists.values())
    body = [[str(place + 1), *(_recommended(one.lists[title], place) for title in titles)] for place in range(longest)]
    past = [element("li", title) for title in one.history]
    return element(
        "article",
        element("h4", f"User {one.user}"),
        element("p", "Last in the history, oldest first:", class_="small"),
        element("ol", *past, class_="path"),
        element("p", "Chosen next: ", element("b", ", ".join(one.chosen))),
        table(
            ["", *(_column(run, one, title) for title in titles)],
            body,
            caption=f"What each model shows user {one.user}",
            class_="samples",
            numeric_from=99,
        ),
        class_="sample",
    )


def _column(run: RunFacts, one: Sample, title: str) -> Markup:
    """A model's name above its list, and how much of it the teacher shows too."""
    model, found = next(model for model in run.models if model.title == title), one.lists[title]
    if model.name == "teacher" or TITLES["teacher"] not in one.lists:
        return model_name(model)
    told = f"{sum(item.shared for item in found)} of {len(found)} in common with the teacher"
    return joined([model_name(model), element("span", told, class_="under")])


def _recommended(found: Sequence[Recommended], place: int) -> Markup:
    if place >= len(found):
        return Markup("")
    one = found[place]
    signs = []
    if one.chosen:
        signs.append(element("span", "chosen", class_="pill good"))
    elif one.shared:
        signs.append(element("span", "•", class_="shared", title="in the teacher's list too"))
        signs.append(element("span", "(in the teacher's list too)", class_="unseen"))
    return joined([element("span", one.title), *(joined([" ", sign]) for sign in signs)])
