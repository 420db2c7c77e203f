"""The charts, each a function from numbers to one SVG picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from distilrec.evaluate.bootstrap import Interval
from distilrec.report.drawing import LETTER, Box, axes, label_boxes, line, mark, path, rectangle, svg, text
from distilrec.report.html import Markup
from distilrec.report.scale import Scale, frontier, linear, logarithmic, tick_text

WIDTH = 460.0
_FRAME = Box(52, 28, 444, 268)
_BINS = 44


@dataclass(frozen=True)
class Point:
    """A model in a chart of quality against cost."""

    label: str
    role: str
    cost: float
    quality: Interval


def quality_against_cost(
    points: Sequence[Point], *, cost: str, quality: str, cost_text: Callable[[float], str]
) -> Markup:
    """Quality with its interval against a cost, on a logarithmic axis, and the frontier: what nothing else beats."""
    x = logarithmic([point.cost for point in points], _FRAME.left, _FRAME.right)
    bounds = [bound for point in points for bound in (point.quality.low, point.quality.high)]
    y = linear(bounds, _FRAME.bottom, _FRAME.top, zero=min(bounds, default=0) < 0.35 * max(bounds, default=0))
    best = [points[n] for n in frontier([(point.cost, point.quality.mean) for point in points])]
    places = [(x(point.cost), y(point.quality.mean)) for point in points]
    bars = [(a, y(p.quality.high), y(p.quality.low)) for (a, _), p in zip(places, points, strict=True)]
    stair = _steps([(x(p.cost), y(p.quality.mean)) for p in best], _FRAME.right)
    taken = [Box(a - 3, top, a + 3, bottom) for a, top, bottom in bars]
    taken += [Box(a - 3, min(b, d), c + 3, max(b, d)) for (a, b), (c, d) in pairwise(stair)]
    labels = label_boxes(places, [point.label for point in points], _FRAME, avoid=taken)
    told = ", ".join(f"{p.label} {p.quality.mean:.4f} at {cost_text(p.cost)}" for p in points)
    return svg(
        WIDTH,
        316,
        axes(x, y, x_title=cost, y_title=quality, x_text=cost_text),
        path(stair, class_="frontier"),
        *(
            line(a, y(p.quality.low), a, y(p.quality.high), class_=f"whisker {p.role}")
            for (a, _), p in zip(places, points, strict=True)
        ),
        *(mark(p.role, a, b) for (a, b), p in zip(places, points, strict=True)),
        *(text(p.label, a, b, anchor=anchor, class_="label") for (a, b, anchor), p in zip(labels, points, strict=True)),
        title=f"{quality} against {cost}",
        description=f"{told}. On the frontier: {', '.join(p.label for p in best)}.",
    )


def _steps(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """A stair: the best quality for a cost holds until something better begins."""
    stair: list[tuple[float, float]] = []
    for a, b in points:
        stair += [(a, stair[-1][1]), (a, b)] if stair else [(a, b)]
    return [*stair, (end, stair[-1][1])] if stair else [(end, 0)]


@dataclass(frozen=True)
class Line:
    """A curve over epochs."""

    label: str
    class_: str
    values: Sequence[float]
    """One an epoch; NaN where there is none, but not in all."""
    kept: int | None = None
    """The epoch, from 1, whose weights were kept."""

    @property
    def last(self) -> int:
        """The last epoch, from 1, that has a value."""
        return max(epoch for epoch, value in enumerate(self.values, start=1) if not math.isnan(value))


def curves(lines: Sequence[Line], *, title: str, y_title: str) -> Markup:
    """Values after each epoch, named at their ends; a line is broken where it has no value."""
    names = max(LETTER * len(one.label) for one in lines) + 14
    x = Scale(1, max(2, *(len(one.values) for one in lines)), _FRAME.left, WIDTH - names)
    y = linear([value for one in lines for value in one.values if not math.isnan(value)], 228, _FRAME.top)
    ends = _apart([y(one.values[one.last - 1]) for one in lines], 15, lowest=224)
    pieces = []
    for one, end in zip(lines, ends, strict=True):
        pieces += [path(points, class_=f"curve {one.class_}") for points in _stretches(one, x, y)]
        if one.kept is not None:
            pieces.append(mark(one.class_, x(one.kept), y(one.values[one.kept - 1]), size=4))
        pieces.append(text(one.label, x(one.last) + 8, end + 4, class_=f"label ink {one.class_}"))
    told = ", ".join(f"{one.label} ends at {one.values[one.last - 1]:.4f} after {one.last} epochs" for one in lines)
    frame = axes(x, y, x_title="epoch", y_title=y_title, whole=True)
    return svg(WIDTH, 276, frame, *pieces, title=title, description=told)


def _stretches(one: Line, x: Scale, y: Scale) -> Iterator[list[tuple[float, float]]]:
    """The places of values that follow each other without a gap."""
    for missing, found in groupby(enumerate(one.values, start=1), key=lambda pair: math.isnan(pair[1])):
        if not missing:
            points = [(x(epoch), y(value)) for epoch, value in found]
            yield points if len(points) > 1 else points * 2  # a line from a point to itself is drawn as a dot


def _apart(places: Sequence[float], least: float, *, lowest: float) -> list[float]:
    """Places moved so far that words there do not touch, in their old order; none is below `lowest`."""
    order = sorted(range(len(places)), key=lambda n: places[n])
    moved = list(places)
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    for place, number in enumerate(reversed(order)):
        moved[number] = min(moved[number], lowest - least * place)
    return moved


@dataclass(frozen=True)
class Row:
    """A line of a chart of intervals: what it is about, and each model's interval by its role."""

    label: str
    note: str
    intervals: Mapping[str, Interval]


def intervals(rows: Sequence[Row], *, title: str, x_title: str) -> Markup:
    """Means with their intervals, a line for each group, models below one another."""
    bounds = [bound for row in rows for i in row.intervals.values() for bound in (i.low, i.high)]
    x = linear(bounds, 150, 444, zero=True)
    ticks = x.ticks()
    words, height = tick_text(x, ticks), 46.0
    bottom = 10 + height * len(rows)
    pieces = [line(x(tick), 10, x(tick), bottom, class_="grid") for tick in ticks]
    pieces += [text(words(tick), x(tick), bottom + 18, anchor="middle", class_="tick") for tick in ticks]
    pieces += [text(x_title, (x.start + x.end) / 2, bottom + 36, anchor="middle", class_="title")]
    for number, row in enumerate(rows):
        middle = 10 + height * (number + 0.5)
        pieces += [text(row.label, 4, middle - 2, class_="label"), text(row.note, 4, middle + 13, class_="tick")]
        step = 30 / max(1, len(row.intervals))
        for place, (role, found) in enumerate(row.intervals.items()):
            y = middle + step * (place - (len(row.intervals) - 1) / 2)
            pieces += [
                line(x(found.low), y, x(found.high), y, class_=f"whisker {role}"),
                mark(role, x(found.mean), y, size=4),
            ]
    told = "; ".join(
        f"{row.label}: {', '.join(f'{role} {i.mean:.4f}' for role, i in row.intervals.items())}" for row in rows
    )
    return svg(WIDTH, bottom + 46, *pieces, title=title, description=told.replace("_", " "))


def shares(rows: Sequence[tuple[str, Sequence[float]]], *, names: Sequence[str], title: str) -> Markup:
    """Bars that are divided, each in all as long as the others."""
    x, height = Scale(0, 1, 126, 452), 32.0
    pieces = []
    for number, (label, parts) in enumerate(rows):
        top = 6 + height * number
        pieces.append(text(label, 4, top + 17, class_="label"))
        begin = 0.0
        for part, value in enumerate(parts):
            box = Box(x(begin) + 0.5, top, max(x(begin) + 0.5, x(begin + value) - 0.5), top + 24)
            pieces.append(rectangle(box, class_=f"part part-{part}"))
            if value >= 0.1:
                pieces.append(
                    text(
                        f"{100 * value:.0f} %",
                        (box.left + box.right) / 2,
                        top + 16,
                        anchor="middle",
                        class_=f"in-part-{part}",
                    )
                )
            begin += value
    told = "; ".join(
        f"{label}: {', '.join(f'{n} {100 * v:.0f} %' for n, v in zip(names, p, strict=True))}" for label, p in rows
    )
    return svg(WIDTH, 6 + height * len(rows), *pieces, title=title, description=told)


def histogram(rows: Sequence[tuple[str, str, Sequence[float]]], *, title: str) -> Markup:
    """How often a request took how long: one strip a model (label, role, milliseconds), all on the same axis."""
    every = np.concatenate([np.asarray(values, dtype=np.float64) for _, _, values in rows])
    x = logarithmic(every.tolist(), 126, 444, room=0.02)
    edges = np.geomspace(x.low, x.high, _BINS + 1)
    counts = [np.histogram(values, edges)[0] for _, _, values in rows]
    tallest, height = max(int(found.max()) for found in counts), 58.0
    pieces = []
    for number, ((label, role, values), found) in enumerate(zip(rows, counts, strict=True)):
        base = height * (number + 1)
        median = float(np.median(values))
        pieces += [text(label, 4, base - 22, class_="label"), text(f"median {median:.2f}", 4, base - 7, class_="tick")]
        pieces += [
            rectangle(
                Box(x(edges[n]) + 0.4, base - 46 * count / tallest, x(edges[n + 1]) - 0.4, base), class_=f"bar {role}"
            )
            for n, count in enumerate(found)
            if count
        ]
        pieces += [line(x.start, base, x.end, base, class_="axis")]
        for percent in (50, 95, 99):
            at = x(float(np.percentile(values, percent)))
            pieces.append(line(at, base, at, base + 5, class_="axis"))
    bottom = height * len(rows)
    ticks = x.ticks()
    pieces += [text(f"{tick:g}", x(tick), bottom + 20, anchor="middle", class_="tick") for tick in ticks]
    pieces.append(text("milliseconds a request", (x.start + x.end) / 2, bottom + 38, anchor="middle", class_="title"))
    told = "; ".join(f"{label}: median {np.median(values):.2f} ms" for label, _, values in rows)
    return svg(WIDTH, bottom + 46, *pieces, title=title, description=told)
