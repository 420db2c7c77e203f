"""Which candidates are worth training: those that may become the chosen point, most promising first."""

from __future__ import annotations

from collections.abc import Sequence

from distilrec.compress.budget import Budget, Preference
from distilrec.compress.frontier import NOISE, Choice, Point, excesses

PATIENCE = 2
"""After so many trainings in a row that changed nothing, the others, which lose more, are left out."""
WORTH_WINNING_BACK = 0.002
"""A share of quality; who loses less than this has little to learn."""
MARGIN = 0.25
"""How much more of its loss a point may have to win back than any training did before it, as a share."""


def order(untrained: Sequence[Point]) -> list[Point]:
    """The order to train in: who loses least without training comes first."""
    return sorted(untrained, key=lambda point: (point.loss, point.size_bytes))


def why_not_train(untrained: Point, budget: Budget, choice: Choice, wanted: Preference) -> str | None:
    """Why training could not make this point the chosen one; none where it could.

    Training changes quality alone: bytes, time and energy are those of the untrained point.
    """
    broken = [name for name in excesses(untrained, budget) if name != "loss"]
    if broken:
        return "breaks the budget whatever its quality"
    if untrained.loss <= (0 if wanted == "quality" else WORTH_WINNING_BACK):
        return "has nothing to win back"
    best = choice.point
    if best is None or wanted == "quality":
        return None
    if wanted == "size" and untrained.size_bytes * (1 + NOISE) >= best.size_bytes:
        return f"is hardly smaller than {best.name}, which keeps the budget"
    if wanted == "latency" and untrained.latency_ms * (1 + NOISE) >= best.latency_ms:
        return f"is not faster than {best.name}, which keeps the budget"
    ours, theirs = untrained.energy_joules, best.energy_joules
    if wanted == "energy" and ours is not None and theirs is not None and ours * (1 + NOISE) >= theirs:
        return f"takes no less energy than {best.name}, which keeps the budget"
    return None


def won_back(untrained: Point, trained: Point) -> float:
    """The share of what a point lost that training gave back."""
    return 0.0 if untrained.loss <= 0 else (untrained.loss - trained.loss) / untrained.loss


def hopeless(untrained: Point, budget: Budget, before: Sequence[float]) -> str | None:
    """Why trainings so far say that this one will not do; none where it may, or too few were trained to tell.

    Args:
        before: what those won back, `won_back`.
    """
    if budget.loss is None or len(before) < PATIENCE or untrained.loss <= 0:
        return None
    needed, most = 1 - budget.loss / untrained.loss, max(before)
    if needed <= most + MARGIN:
        return None
    return (
        f"would have to win back {100 * needed:.0f} % of its loss of {100 * untrained.loss:.1f} %; trainings "
        f"so far won back {100 * most:.0f} % at most"
    )
