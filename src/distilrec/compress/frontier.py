"""Which compressed models are worth having, and which of them keeps a budget: arithmetic on measured points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from distilrec.compress.budget import LIMITS, Budget, Preference, size_text
from distilrec.evaluate.compare import metric_title, p_value_text

NOISE = 0.05
"""Times and energies that differ by less than this share are taken as equal: two runs of one model differ as much."""
LEVEL = 0.95
"""Of intervals, and with which a loss beyond the limit has to be ruled out."""

Standing = Literal["shown", "mean only", "no"]

_COST_OF = {"quality": "loss", "size": "size_bytes", "latency": "latency_ms", "energy": "energy_joules"}
_BEST = {
    "quality": "loses least",
    "size": "is the smallest",
    "latency": "is the fastest",
    "energy": "takes least energy",
}


@dataclass(frozen=True)
class Point:
    """One model that was tried, as it was measured."""

    name: str
    size_bytes: int
    """All that is shipped."""
    weights_bytes: int
    """Of that, the model's arrays."""
    latency_ms: float
    """Of the median request on one thread."""
    energy_joules: float | None
    """For a thousand requests; none where it was not measured."""
    metric: str
    """What quality is measured by."""
    score: float
    """The metric on validation."""
    loss: float
    """Share of the uncompressed model's score that is lost; below 0 where it is better."""
    loss_low: float
    """Lower bound of the loss, 95 %, by a paired bootstrap over users."""
    loss_high: float
    """Upper bound."""
    trained: bool
    """Whether it was trained once more."""
    loss_p: float | None = None
    """How easily chance alone makes a point that loses more than the budget allows look this good: the p-value of a
    non-inferiority test, corrected for all points tried. None where no loss is limited."""


@dataclass(frozen=True)
class Choice:
    """The point to take, and why; without one the nearest."""

    point: Point | None
    nearest: Point
    """The chosen point; where no point keeps the budget the one whose worst excess is least."""
    why: tuple[str, ...]
    """Sentences for people."""


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats in everything, the largest first."""
    kept = [point for point in points if not any(dominates(other, point) for other in points)]
    return sorted(kept, key=lambda point: (-point.size_bytes, point.loss))


def dominates(a: Point, b: Point) -> bool:
    """Whether a is no worse than b in anything that was measured, and better in something."""
    return not any(_worse(a, b, name) for name in LIMITS) and any(_worse(b, a, name) for name in LIMITS)


def _worse(a: Point, b: Point, name: str) -> bool:
    ours, theirs = getattr(a, name), getattr(b, name)
    if ours is None or theirs is None:
        return False
    noisy = name in ("latency_ms", "energy_joules")
    return bool(ours > theirs * (1 + NOISE) if noisy else ours > theirs)


def standing(point: Point, budget: Budget) -> Standing | None:
    """Whether a point is shown to keep the limit of loss, keeps it by its mean only, or does not; none without one."""
    if budget.loss is None:
        return None
    if point.loss_p is not None and point.loss_p < 1 - LEVEL:
        return "shown"
    return "mean only" if point.loss <= budget.loss else "no"


def excesses(point: Point, budget: Budget) -> dict[str, float]:
    """By how much a point breaks each limit: a share of the limit, and of a loss what is lost beyond it.

    Where a loss has to be shown, what may be lost counts, the upper bound, and a mean within the limit does not do.
    """
    found: dict[str, float] = {}
    for name in ("size_bytes", "latency_ms", "energy_joules"):
        limit, value = getattr(budget, name), getattr(point, name)
        if limit is not None and value is not None and value > limit:
            found[name] = value / limit - 1
    if budget.loss is None or standing(point, budget) == "shown":
        return found
    if budget.by == "shown":
        found["loss"] = max(point.loss_high - budget.loss, 0.0)
    elif point.loss > budget.loss:
        found["loss"] = point.loss - budget.loss
    return found


def choose(points: Sequence[Point], budget: Budget, prefer: Preference | None = None) -> Choice:
    """The best point that keeps the budget: by default the smallest where a loss is allowed, else the best one.

    Without such a point, the nearest is the one whose worst excess over a limit, as a share, is least.
    """
    wanted = prefer or budget.preference
    within = [point for point in points if not excesses(point, budget)]
    if within:
        ordered = sorted(within, key=lambda point: _order(point, wanted))
        best, why = ordered[0], _why(ordered, wanted, len(points))
        return Choice(best, best, (why, *_beside(best, points), *_how_sure(best, points, budget, wanted)))
    nearest = min(points, key=lambda point: _badness(point, budget))
    return Choice(None, nearest, (_none_keeps(points, budget), _how_near(nearest, budget)))


def _order(point: Point, wanted: Preference) -> tuple[float, float, float]:
    cost = getattr(point, _COST_OF[wanted])
    return (float("inf") if cost is None else cost, point.size_bytes, point.loss)


def _badness(point: Point, budget: Budget) -> tuple[float, float]:
    over = excesses(point, budget).values()
    return max(over, default=0.0), sum(over)


def _why(ordered: Sequence[Point], wanted: Preference, n_points: int) -> str:
    best, counted = ordered[0], f"{len(ordered)} of {n_points} points keep the budget"
    if len(ordered) == 1:
        return f"Chosen: {best.name}, the only one of {n_points} points that keeps the budget."
    return f"Chosen: {best.name}. {counted}; of these it {_BEST[wanted]}, {told(best)}. Next: {ordered[1].name}, " + (
        f"{told(ordered[1])}."
    )


def _beside(chosen: Point, points: Sequence[Point]) -> list[str]:
    """What the first, uncompressed point costs beside the chosen one."""
    first = points[0]
    if chosen is first:
        return ["Nothing has to be compressed for this budget."]
    title, low, high = metric_title(chosen.metric), -chosen.loss_high, -chosen.loss_low
    return [
        f"Against {first.name}: {chosen.size_bytes / first.size_bytes:.3f} of all bytes "
        f"({chosen.weights_bytes / first.weights_bytes:.3f} of the weights'), "
        f"{chosen.latency_ms / first.latency_ms:.2f} of the time, {title} on validation {-100 * chosen.loss:+.2f} % "
        f"(95 % interval {100 * low:+.2f} to {100 * high:+.2f} %)."
    ]


def _none_keeps(points: Sequence[Point], budget: Budget) -> str:
    broken = {name for point in points for name in excesses(point, budget)}
    alone = [name for name in LIMITS if all(name in excesses(point, budget) for point in points)]
    told_of = [f"no point keeps {_limit_text(name, budget)}" for name in alone]
    ways = f": {'; '.join(told_of)}" if told_of else f"; each breaks at least one of {len(broken)} limits"
    return f"None of {len(points)} points keeps the budget{ways}."


def _how_near(nearest: Point, budget: Budget) -> str:
    told_of = [
        f"{_value_text(name, nearest)}{_at_worst(name, nearest, budget)}, where {_limit_text(name, budget)} is allowed"
        for name in excesses(nearest, budget)
    ]
    by_mean = ", take the mean's word for it (--by mean)" if standing(nearest, budget) == "mean only" else ""
    return f"Nearest: {nearest.name} with {' and '.join(told_of)}. Allow that{by_mean}, or add candidates (--try)."


def _at_worst(name: str, nearest: Point, budget: Budget) -> str:
    return f" that may be {100 * nearest.loss_high:.2f} %" if name == "loss" and budget.by == "shown" else ""


def _how_sure(best: Point, points: Sequence[Point], budget: Budget, wanted: Preference) -> list[str]:
    """What a test says of the chosen point's loss, and which better point only its mean speaks for."""
    if budget.loss is None or best is points[0] or best.loss_p is None:
        return []
    limit, test = f"{100 * budget.loss:g} %", f"{p_value_text(best.loss_p)}, corrected for {len(points) - 1} points"
    if standing(best, budget) != "shown":
        return [
            f"Its mean loss is within {limit}, but more is not ruled out ({test}): it may lose more on other users."
        ]
    sure = f"That it loses no more than {limit} is shown ({test})."
    if budget.by == "mean":
        return [sure]
    by_mean = choose(points, budget.with_changes(by="mean"), wanted).nearest
    if by_mean is best:
        return [sure]
    return [sure, f"By its mean alone {by_mean.name} would do, {told(by_mean)}: --by mean takes it."]


def told(point: Point) -> str:
    """A point's figures in few words."""
    return ", ".join(_value_text(name, point) for name in ("size_bytes", "latency_ms", "loss"))


def _value_text(name: str, point: Point) -> str:
    if name == "loss":
        return f"a loss of {100 * point.loss:.2f} %"
    return _amount(name, getattr(point, name))


def _limit_text(name: str, budget: Budget) -> str:
    limit = getattr(budget, name)
    return f"a loss of {100 * limit:g} %" if name == "loss" else _amount(name, limit)


def _amount(name: str, value: float) -> str:
    if name == "size_bytes":
        return size_text(value)
    return f"{value:.3g} ms" if name == "latency_ms" else f"{value:.3g} J per 1,000"
