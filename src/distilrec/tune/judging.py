"""What validation says of a point beside the uncompressed student: how much it loses, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from distilrec.compress.frontier import LEVEL, Point
from distilrec.compress.ladder import FIRST
from distilrec.errors import SettingsError
from distilrec.evaluate.compare import Comparison, compare
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.verdicts import both_verdicts, holm
from distilrec.tune.costs import Cost
from distilrec.tune.points import Tried


@dataclass(frozen=True)
class Judged:
    """One point beside the uncompressed student."""

    comparison: Comparison
    p_value: float | None
    """Of the test that it loses no more than is allowed, by itself; none where no loss is limited."""


def judged(ours: Evaluation, first: Evaluation, metric: str, margin: float | None) -> Judged:
    """Compare user by user; with a margin above 0 also ask whether more than that share is lost.

    Raises:
        SettingsError: the uncompressed student's score is 0.
    """
    if not first.mean(metric) > 0:
        raise SettingsError(f"the student's {metric} on validation is 0, so there is no quality to keep")
    if not margin:
        return Judged(compare(ours, first, metric=metric, level=LEVEL), None)
    names = ("the point", "the uncompressed student")
    comparison, test = both_verdicts(ours, first, metric=metric, margin=margin, names=names, level=LEVEL)
    return Judged(comparison, None if test is None else test.p_value)


def corrected_p_values(points: Mapping[str, Judged]) -> dict[str, float | None]:
    """The p-values of points that were tried beside one another, by Holm's method.

    The uncompressed student is none of them: that it loses nothing needs no test.
    """
    asked = {name: one.p_value for name, one in points.items() if one.p_value is not None and name != FIRST}
    found: dict[str, float | None] = dict.fromkeys(points)
    found |= dict(zip(asked, holm(list(asked.values())), strict=True))
    if points[FIRST].p_value is not None:
        found[FIRST] = 0.0
    return found


def point_of(tried: Tried, cost: Cost, beside: Judged, loss_p: float | None) -> Point:
    """A point with its figures."""
    (score, whole), paired = beside.comparison.means, beside.comparison.result
    return Point(
        tried.candidate.name,
        tried.size_bytes,
        tried.weights_bytes,
        cost.latency_ms,
        cost.energy_joules,
        beside.comparison.metric,
        score,
        loss=(whole - score) / whole,
        loss_low=-paired.high / whole,
        loss_high=-paired.low / whole,
        trained=tried.candidate.trained,
        loss_p=loss_p,
    )
