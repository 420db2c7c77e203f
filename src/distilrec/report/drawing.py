"""Pieces that the charts share: a frame with axes, marks, words. Colours come from the page, light or dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from distilrec.report.html import Markup, element, joined
from distilrec.report.scale import Scale, tick_text

LETTER = 6.3  # width of a letter of the charts' type, about


@dataclass(frozen=True)
class Box:
    """A rectangle of a chart."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """How much they share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


def svg(width: float, height: float, *children: str, title: str, description: str) -> Markup:
    """A picture that grows and shrinks with its column, with words for who can't see it."""
    about = [element("title", title), element("desc", description)]
    return element("svg", *about, *children, viewBox=f"0 0 {width:g} {height:g}", role="img", class_="chart")


def text(words: str, x: float, y: float, *, anchor: str = "start", class_: str | None = None) -> Markup:
    """Words at a place."""
    return element("text", words, x=_place(x), y=_place(y), text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, *, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=_place(x1), y1=_place(y1), x2=_place(x2), y2=_place(y2), class_=class_)


def path(points: Sequence[tuple[float, float]], *, class_: str) -> Markup:
    """A line through points."""
    return element("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=class_)


def rectangle(box: Box, *, class_: str) -> Markup:
    """A filled box."""
    return element(
        "rect",
        x=_place(box.left),
        y=_place(box.top),
        width=_place(box.right - box.left),
        height=_place(box.bottom - box.top),
        class_=class_,
    )


def mark(role: str, x: float, y: float, *, size: float = 5) -> Markup:
    """A model's mark: form and colour both say which role it has."""
    class_ = f"mark {role}"
    if role == "teacher":
        corners = [(x, y - 1.3 * size), (x + 1.3 * size, y), (x, y + 1.3 * size), (x - 1.3 * size, y)]
        return element("path", d="M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in corners) + "Z", class_=class_)
    if role == "baseline":
        return rectangle(Box(x - 0.8 * size, y - 0.8 * size, x + 0.8 * size, y + 0.8 * size), class_=class_)
    return element("circle", cx=_place(x), cy=_place(y), r=size, class_=class_)


def key(role: str) -> Markup:
    """A model's mark as a picture of its own, for tables and legends."""
    return element("svg", mark(role, 8, 8), viewBox="0 0 16 16", class_="key", aria_hidden="true")


def axes(
    x: Scale,
    y: Scale,
    *,
    x_title: str,
    y_title: str = "",
    x_text: Callable[[float], str] | None = None,
    whole: bool = False,
) -> Markup:
    """A grid of thin lines with values below and on the left. `whole` leaves values between whole numbers out."""
    x_ticks = [tick for tick in x.ticks() if not whole or tick == int(tick)]
    y_ticks = y.ticks()
    x_words, y_words = x_text or tick_text(x, x_ticks), tick_text(y, y_ticks)
    pieces = [line(x.start, y(tick), x.end, y(tick), class_="grid") for tick in y_ticks]
    pieces += [text(y_words(tick), x.start - 8, y(tick) + 4, anchor="end", class_="tick") for tick in y_ticks]
    pieces += [line(x(tick), y.start, x(tick), y.start + 4, class_="axis") for tick in x_ticks]
    pieces += [text(x_words(tick), x(tick), y.start + 18, anchor="middle", class_="tick") for tick in x_ticks]
    pieces += [line(x.start, y.start, x.end, y.start, class_="axis")]
    pieces += [text(x_title, (x.start + x.end) / 2, y.start + 36, anchor="middle", class_="title")]
    pieces += [text(y_title, x.start - 40, y.end - 12, class_="title")] if y_title else []
    return joined(pieces)


def label_boxes(
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    frame: Box,
    *,
    avoid: Sequence[Box] = (),
    height: float = 14,
) -> list[tuple[float, float, str]]:
    """For each point where its label goes, with its anchor: beside, above or below, where it covers least."""
    taken = [*avoid, *(Box(x - 7, y - 7, x + 7, y + 7) for x, y in points)]
    found = []
    for (x, y), label in zip(points, labels, strict=True):
        width = LETTER * len(label)
        options = []
        for place, dx, dy, anchor in zip(count(), *zip(*_PLACES, strict=True), strict=False):
            left = x + dx - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
            box = Box(left, y + dy - height + 3, left + width, y + dy + 3)
            outside = width * height - box.overlap(frame)
            options.append((sum(box.overlap(other) for other in taken) + 4 * outside, place, box, dx, dy, anchor))
        _, _, box, dx, dy, anchor = min(options, key=lambda option: option[:2])
        taken.append(box)
        found.append((x + dx, y + dy, anchor))
    return found


_PLACES = (
    *((10, 4, "start"), (-10, 4, "end"), (0, -11, "middle"), (0, 19, "middle")),
    *((10, -9, "start"), (10, 17, "start"), (-10, -9, "end"), (-10, 17, "end")),
    *((10, 30, "start"), (-10, 30, "end"), (0, 33, "middle"), (0, -25, "middle")),
)


def _place(value: float) -> str:
    return f"{value:.1f}"
