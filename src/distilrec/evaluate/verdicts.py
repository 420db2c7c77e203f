"""Whether to ship: is a model better, is it at least not worse by more than a margin, for everybody and for each group.

A group is looked at beside many others, and of many some look real by chance. So the p-values of groups are corrected
by Holm's method, and a group with few cases is counted but not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.bootstrap import RESAMPLES, Values, resampled_means
from distilrec.evaluate.compare import Comparison, compare, metric_title, p_value_text
from distilrec.evaluate.evaluation import Evaluation, check_same_cases
from distilrec.evaluate.slices import BoolArray, Slicing, check_members

MARGIN = 0.01
FEWEST = 30
"""Groups of fewer cases are not judged: the bootstrap is not to be trusted with so few."""


@dataclass(frozen=True)
class NonInferiority:
    """Whether a is not worse than b by more than a share of b's mean: one question, asked on one side."""

    metric: str
    names: tuple[str, str]
    means: tuple[float, float]
    margin: float
    level: float
    at_worst: float
    """The lower bound, at that level, of a's mean over b's, less 1: -0.02 is two per cent worse."""
    p_value: float
    n: int

    @property
    def shown(self) -> bool:
        """Whether being worse by more than the margin is ruled out, by the test and by the bound that is told."""
        return self.p_value < 1 - self.level and self.at_worst > -self.margin

    def sentence(self) -> str:
        """What was found, for a reader who sees nothing else."""
        a, b = self.names
        return (
            f"{a} is not worse than {b} by more than {100 * self.margin:g} % of {metric_title(self.metric)}: "
            f"{'yes' if self.shown else 'not shown'}, {p_value_text(self.p_value)} ({self.means[0]:.4f} and "
            f"{self.means[1]:.4f}; with {100 * self.level:g} % confidence {_at_worst(self.at_worst)}; paired bootstrap "
            f"over {self.n:,} users)"
        )


@dataclass(frozen=True)
class Verdict:
    """One group of cases: a beside b. The p-values are those after the correction."""

    slicing: str
    label: str
    n: int
    comparison: Comparison | None
    """None where there are too few cases to judge."""
    p_value: float | None
    non_inferiority: NonInferiority | None
    """None too where b's mean is 0, of which there is no share."""
    non_inferiority_p: float | None

    @property
    def word(self) -> str:
        """better, worse, no difference shown, or too few cases."""
        if self.comparison is None or self.p_value is None:
            return "too few cases"
        if self.p_value >= 1 - self.comparison.level or not self.comparison.differs:
            return "no difference shown"
        return "better" if self.comparison.result.difference > 0 else "worse"

    @property
    def not_worse(self) -> bool:
        """Whether being worse by more than the margin is ruled out, after the correction."""
        return (
            self.non_inferiority is not None
            and self.non_inferiority.shown
            and self.non_inferiority_p is not None
            and self.non_inferiority_p < 1 - self.non_inferiority.level
        )


@dataclass(frozen=True)
class Verdicts:
    """The answer for everybody, which nothing corrects, and those for the groups, corrected together."""

    overall: Comparison
    non_inferiority: NonInferiority | None
    groups: list[Verdict]


def non_inferiority(
    a: Evaluation,
    b: Evaluation,
    *,
    metric: str = "ndcg@10",
    margin: float = MARGIN,
    names: tuple[str, str] = ("a", "b"),
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    means: Values | None = None,
) -> NonInferiority:
    """Test that mean(a) > (1 - margin) mean(b), by a paired bootstrap over users.

    The p-value says how often the resampled value of mean(a) - (1 - margin) mean(b) strays above the observed one by as
    much as that lies above 0. Piaggio et al., JAMA 2012, on what such a test may claim. `means` are those of
    `bootstrap.resampled_means` for both, where they are known already.
    """
    if not 0 < margin < 1:
        raise SettingsError(f"margin is {margin}; expected a share between 0 and 1, such as 0.01 for one per cent")
    check_same_cases(a, b, names=names)
    both = np.stack([a.values(metric), b.values(metric)], axis=1)  # [C, 2]
    mean_a, mean_b = both.mean(axis=0)
    if mean_b <= 0:
        raise DataError(f"the mean {metric_title(metric)} of {names[1]} is {mean_b:g}; a margin of it means nothing")
    if means is None:
        means = resampled_means(both, resamples=resamples, seed=seed)  # [R, 2]
    observed = mean_a - (1 - margin) * mean_b
    strayed = means[:, 0] - (1 - margin) * means[:, 1] - observed
    p_value = (1 + int(np.count_nonzero(strayed >= observed))) / (1 + len(means))
    ratios = means[:, 0] / np.maximum(means[:, 1], np.finfo(np.float64).tiny)
    at_worst = float(np.quantile(ratios, 1 - level)) - 1
    return NonInferiority(metric, names, (float(mean_a), float(mean_b)), margin, level, at_worst, p_value, len(both))


def verdicts(
    a: Evaluation,
    b: Evaluation,
    slicings: Sequence[Slicing] = (),
    *,
    metric: str = "ndcg@10",
    margin: float = MARGIN,
    names: tuple[str, str] = ("a", "b"),
    level: float = 0.95,
    fewest: int = FEWEST,
) -> Verdicts:
    """Compare a with b for everybody and for every group."""
    judge = partial(both_verdicts, metric=metric, margin=margin, names=names, level=level)
    asked = list(_groups(slicings, a, b))
    found = [judge(x, y) if len(x.per_user) >= fewest else (None, None) for _, _, x, y in asked]
    named = [(slicing, label, len(x.per_user)) for slicing, label, x, _ in asked]
    return Verdicts(*judge(a, b), corrected(named, found))


def both_verdicts(
    a: Evaluation,
    b: Evaluation,
    *,
    metric: str,
    margin: float = MARGIN,
    names: tuple[str, str],
    level: float = 0.95,
    means: Values | None = None,
) -> tuple[Comparison, NonInferiority | None]:
    """Whether a differs from b, and whether it is not worse by a margin, from the same draws of users."""
    if means is None:
        means = resampled_means(np.stack([a.values(metric), b.values(metric)], axis=1))
    comparison = compare(a, b, metric=metric, names=names, level=level, means=means)
    if b.mean(metric) <= 0:
        return comparison, None
    return comparison, non_inferiority(a, b, metric=metric, margin=margin, names=names, level=level, means=means)


def corrected(
    groups: Sequence[tuple[str, str, int]],
    found: Sequence[tuple[Comparison | None, NonInferiority | None]],
) -> list[Verdict]:
    """The verdicts of groups (slicing, label, number of cases), their p-values corrected together."""
    p_values = _corrected([comparison.result.p_value if comparison else None for comparison, _ in found])
    one_sided = _corrected([test.p_value if test else None for _, test in found])
    return [
        Verdict(*group, comparison, p, test, q)
        for group, (comparison, test), p, q in zip(groups, found, p_values, one_sided, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several: Holm's step-down method (Scandinavian Journal of Statistics, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    times = len(order) - np.arange(len(order))
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * times), 1)
    return [float(value) for value in corrected]


def _groups(
    slicings: Sequence[Slicing], a: Evaluation, b: Evaluation
) -> Iterator[tuple[str, str, Evaluation, Evaluation]]:
    for slicing in slicings:
        for label, members in slicing.groups.items():
            check_members(members, a)
            yield slicing.name, label, _part(a, members), _part(b, members)


def _part(found: Evaluation, members: BoolArray) -> Evaluation:
    return Evaluation(found.per_user.filter(members), found.protocol)


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    known = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(known) for p in p_values]


def _at_worst(share: float) -> str:
    return f"at worst {-100 * share:.1f} % below" if share < 0 else f"at least {100 * share:.1f} % above"
