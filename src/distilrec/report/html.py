"""HTML from nested calls. What is not markup already is escaped, so no text from data can become part of the page."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

VOID = frozenset({"meta", "br", "hr", "col"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """An element. `class_` is class, `stroke_width` is stroke-width; an attribute that is None is left out."""
    told = "".join(_attribute(key, value) for key, value in attributes.items() if value is not None)
    return Markup(f"<{name}{told}>" if name in VOID else f"<{name}{told}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """Several pieces one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else html.escape(child) for child in children))


def table(
    head: Sequence[str],
    body: Iterable[Sequence[str]],
    *,
    caption: str,
    class_: str | None = None,
    numeric_from: int = 1,
    row_classes: Sequence[str | None] = (),
) -> Markup:
    """A table whose first column names the rows, in a frame that scrolls by itself where the screen is narrow."""
    heads = [element("th", cell, scope="col", class_=_numeric(n, numeric_from)) for n, cell in enumerate(head)]
    rows = []
    for number, (first, *others) in enumerate(body):
        cells = [element("td", cell, class_=_numeric(n, numeric_from)) for n, cell in enumerate(others, start=1)]
        marked = row_classes[number] if number < len(row_classes) else None
        rows.append(element("tr", element("th", first, scope="row"), *cells, class_=marked))
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        class_=class_,
    )
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def details(summary: str, *children: str) -> Markup:
    """Children that are shown when the summary is clicked; printed in any case."""
    return element("details", element("summary", summary), *children)


def empty(sentence: str) -> Markup:
    """What stands where there is nothing to show."""
    return element("p", sentence, class_="empty")


def terms(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names and what they stand for, in two columns."""
    found = [element("div", element("dt", name), element("dd", value)) for name, value in pairs]
    return element("dl", *found, class_="facts")


def _attribute(key: str, value: str | float) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f' {key.rstrip("_").replace("_", "-")}="{html.escape(text)}"'


def _numeric(column: int, first: int) -> str | None:
    return "number" if column >= first else None
