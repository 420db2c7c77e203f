"""The frontier as a picture: quality over bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distilrec.compress.frontier import Point
from distilrec.errors import MissingExtraError
from distilrec.evaluate.compare import metric_title
from distilrec.files import atomic_path
from distilrec.tune.compression import Found

_INCHES, _DOTS_PER_INCH = (7.5, 4.5), 110
_OTHER, _FRONT, _CHOSEN = "#9a9a9a", "#1f5fa8", "#c0392b"


def plot_frontier(found: Found, path: Path) -> None:
    """Write the picture, as PNG or SVG by the path's ending.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "plot") from None
    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots()
    _draw_points(axes, found)
    _draw_budget(axes, found)
    first = found.points[0]
    axes.set_xscale("log")
    axes.set_xlabel("kilobytes shipped (arrays, catalogue, card, config)")
    axes.set_ylabel(f"{metric_title(first.metric)} on validation")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), metadata={"Software": None})


def _draw_points(axes: Any, found: Found) -> None:  # noqa: ANN401  (matplotlib's axes)
    best = quality_frontier(found.points)
    axes.plot([_kilobytes(p) for p in best], [p.score for p in best], color=_FRONT, lw=1, zorder=1)
    groups = {
        "not trained again": ([p for p in found.points if not p.trained], "o"),
        "trained again": ([p for p in found.points if p.trained], "s"),
    }
    for label, (points, mark) in groups.items():
        colours = [_FRONT if point in best else _OTHER for point in points]
        axes.scatter([_kilobytes(p) for p in points], [p.score for p in points], c=colours, marker=mark, label=label)
    chosen = found.choice.nearest
    label = "chosen" if found.choice.point is not None else "nearest to the budget"
    axes.scatter([_kilobytes(chosen)], [chosen.score], s=150, facecolors="none", edgecolors=_CHOSEN, label=label)
    for place, point in enumerate(best):  # the largest stands at the edge
        beside = {"xytext": (5, -10), "ha": "left"} if place else {"xytext": (-5, 6), "ha": "right"}
        at = (_kilobytes(point), point.score)
        axes.annotate(point.name, at, textcoords="offset points", fontsize=7, **beside)


def _draw_budget(axes: Any, found: Found) -> None:  # noqa: ANN401
    budget, first = found.budget, found.points[0]
    if budget.size_bytes is not None:
        axes.axvline(budget.size_bytes / 1000, color=_CHOSEN, lw=0.8, ls=":")
    if budget.loss is not None:
        axes.axhline(first.score * (1 - budget.loss), color=_CHOSEN, lw=0.8, ls=":")


def quality_frontier(points: list[Point]) -> list[Point]:
    """Of the points those that no smaller one equals in quality, the largest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.size_bytes, -p.score)):
        if not best or point.score > best[-1].score:
            best.append(point)
    return best[::-1]


def _kilobytes(point: Point) -> float:
    return point.size_bytes / 1000
