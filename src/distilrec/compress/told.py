"""A search's points as people read them: one table for terminal, card and page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from distilrec.compress.budget import Budget
from distilrec.compress.frontier import LEVEL, NOISE, Choice, Point, Standing, excesses, frontier, standing
from distilrec.evaluate.compare import metric_title, p_value_text

PLOT = "frontier.png"
"""The file that the frontier is drawn in."""

_BREAKS = {"size_bytes": "size", "latency_ms": "latency", "energy_joules": "energy", "loss": "loss"}
_STANDINGS: Mapping[Standing, str] = {"shown": "shown", "mean only": "by the mean, not shown", "no": "no"}


def cells(points: Sequence[Point], budget: Budget, choice: Choice) -> tuple[list[str], list[list[str]]]:
    """Heading and rows, the largest point first; the first of `points` is the uncompressed one."""
    first, front = points[0], frontier(points)
    with_energy = any(point.energy_joules is not None for point in points)
    head = [
        "point",
        "bytes shipped",
        "of weights",
        "to float32",
        "ms/request",
        *(["J per 1,000"] if with_energy else []),
        f"{metric_title(first.metric)} (validation)",
        "change [95 %]",
        *([f"loses at most {100 * budget.loss:g} %"] if budget.loss is not None else []),
        "frontier",
        "budget",
    ]
    rows = []
    for point in sorted(points, key=lambda one: -one.size_bytes):
        energy = "" if point.energy_joules is None else f"{point.energy_joules:.3f}"
        rows.append(
            [
                point.name,
                f"{point.size_bytes:,}",
                f"{point.weights_bytes:,}",
                f"{point.weights_bytes / first.weights_bytes:.3f}",
                f"{point.latency_ms:.3f}",
                *([energy] if with_energy else []),
                f"{point.score:.5f}",
                _change(point, first),
                *([_standing(point, first, budget)] if budget.loss is not None else []),
                "yes" if point in front else "",
                _budget(point, budget, choice),
            ]
        )
    return head, rows


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """The table as Markdown."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)


def note(points: Sequence[Point], budget: Budget, machine: str, energies: Iterable[str]) -> str:
    """What the columns mean; `energies` says where energy is from."""
    text = (
        f"Frontier: {len(frontier(points))} points that no other one beats in everything; times and energies that "
        f"differ by less than {100 * NOISE:g} % count as equal. Bytes shipped: arrays, catalogue, card, config. "
        f"Requests: one at a time on one thread, from ids to ten ranked ids, on {machine}. Energy: "
        f"{'; '.join(sorted(set(energies)))}. Change: share of the uncompressed student's metric on validation, with "
        "its paired bootstrap interval over users."
    )
    if budget.loss is None:
        return text
    return (
        f"{text} Shown: a non-inferiority test over the same users rules out a larger loss with {100 * LEVEL:g} % "
        f"confidence, its p-value corrected by Holm's method for {len(points) - 1} points, so that the luckiest of "
        "many does not pass by luck."
    )


def _standing(point: Point, first: Point, budget: Budget) -> str:
    known = standing(point, budget)
    if point is first or known is None:
        return ""
    test = f" ({p_value_text(point.loss_p)})" if point.loss_p is not None and known != "no" else ""
    return _STANDINGS[known] + test


def _change(point: Point, first: Point) -> str:
    if point is first:
        return ""
    return f"{-100 * point.loss:+.2f} % [{-100 * point.loss_high:+.2f}, {-100 * point.loss_low:+.2f}]"


def _budget(point: Point, budget: Budget, choice: Choice) -> str:
    if point is choice.point:
        return "chosen"
    over = excesses(point, budget)
    if not over:
        return "kept"
    unsure = "loss" in over and standing(point, budget) == "mean only"
    limits = [_BREAKS[name] for name in over if not (unsure and name == "loss")]
    words = ["nearest"] if choice.point is None and point is choice.nearest else []
    words += [f"over in {', '.join(limits)}"] if limits else []
    return ", ".join([*words, "loss not shown"] if unsure else words)
