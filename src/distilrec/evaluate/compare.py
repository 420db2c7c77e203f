"""Whether one model is better than another, in a sentence with its evidence."""

from __future__ import annotations

from dataclasses import dataclass

from distilrec.evaluate.bootstrap import RESAMPLES, PairedResult, Values, paired_bootstrap
from distilrec.evaluate.evaluation import Evaluation, check_same_cases

_TITLES = {
    "ndcg": "NDCG",
    "recall": "Recall",
    "hit_rate": "Hit rate",
    "mrr": "MRR",
    "precision": "Precision",
    "f1": "F1",
    "map": "MAP",
    "auc": "AUC",
}


@dataclass(frozen=True)
class Comparison:
    """Model a beside model b on the same cases."""

    metric: str
    names: tuple[str, str]
    means: tuple[float, float]
    level: float
    result: PairedResult

    @property
    def differs(self) -> bool:
        """Whether a difference is shown: the p-value and the interval must both say so."""
        return self.differs_at(self.result.p_value)

    def differs_at(self, p_value: float) -> bool:
        """The same by another p-value, such as one that is corrected for being one of several."""
        interval_has_zero = self.result.low <= 0 <= self.result.high
        return p_value < 1 - self.level and not interval_has_zero

    def sentence(self, *, corrected_p: float | None = None) -> str:
        """What was found, for a reader who sees nothing else.

        Args:
            corrected_p: decides in place of the comparison's own p-value, which is told.
        """
        a, b = self.names
        title, evidence = metric_title(self.metric), f"(paired bootstrap over {self.result.n:,} users)"
        if self.result.identical:
            return f"no difference: {a} and {b} have the same {title} for each of {self.result.n:,} users"
        if not (self.differs if corrected_p is None else self.differs_at(corrected_p)):
            return (
                f"no difference shown between {a} and {b}: {title} {self.means[0]:.4f} and {self.means[1]:.4f}, "
                f"{self._interval(1)}, {p_value_text(self.result.p_value)} {evidence}"
            )
        sign = 1 if self.result.difference > 0 else -1
        return (
            f"{a} is {'better' if sign > 0 else 'worse'} than {b} by {abs(self.result.difference):.4f} {title}"
            f"{self._relative()}, {self._interval(sign)}, {p_value_text(self.result.p_value)} {evidence}"
        )

    def _relative(self) -> str:
        b = self.means[1]
        return f" ({100 * self.result.difference / b:+.1f} %)" if b else ""

    def _interval(self, sign: int) -> str:
        low, high = sorted((sign * self.result.low, sign * self.result.high))
        return f"{100 * self.level:g} % interval {low:.4f} to {high:.4f}"


def compare(
    a: Evaluation,
    b: Evaluation,
    *,
    metric: str = "ndcg@10",
    names: tuple[str, str] = ("a", "b"),
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    means: Values | None = None,
) -> Comparison:
    """Compare two evaluations user by user; a positive difference means that a is better.

    `means` are those of `bootstrap.resampled_means` for both, [resamples, 2], where they are known already.
    """
    check_same_cases(a, b, names=names)
    ours, theirs = a.values(metric), b.values(metric)
    result = paired_bootstrap(ours, theirs, level=level, resamples=resamples, seed=seed, means=means)
    return Comparison(metric, names, (a.mean(metric), b.mean(metric)), level, result)


def share_of_lead(distilled: float, *, alone: float, teacher: float) -> float | None:
    """How much of the teacher's lead over the student alone a distilled student has recovered.

    1 is level with the teacher, above 1 better than it, below 0 worse than alone; none where the teacher leads nobody.
    """
    return (distilled - alone) / (teacher - alone) if teacher > alone else None


def p_value_text(p: float) -> str:
    """`p = 0.12`, with more places where it is small; never 0, which no test finds."""
    if round(p, 4) == 0:
        return "p < 0.0001"
    return f"p = {p:.4f}" if p < 0.01 else f"p = {p:.2f}"


def metric_title(metric: str) -> str:
    """A metric's name as people write it: `ndcg@10` becomes `NDCG@10`."""
    name, at, k = metric.partition("@")
    return f"{_TITLES.get(name, name)}{at}{k}"
