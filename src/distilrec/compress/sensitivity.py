"""How much of each part can go: each is cut to where that alone costs as much as everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from distilrec.errors import SettingsError

LEVELS = (0.25, 0.5, 0.75, 0.9)
"""The shares of a part that are taken away to see what it costs."""

Losses = Mapping[str, Mapping[float, float]]


def measure_losses(parts: Mapping[str, int], score_without: Callable[[str, float], float], whole: float) -> Losses:
    """What the validation score falls by when one part alone loses a share, for each part and each of `LEVELS`.

    Args:
        parts: the size of each part, by name.
        score_without: the score of the model whose part of that name lost that share.
        whole: the score of the whole model.
    """
    return {name: {level: whole - score_without(name, level) for level in LEVELS} for name in parts}


def shares_by_sensitivity(sizes: Mapping[str, int], losses: Losses, share: float) -> dict[str, float]:
    """The share of each part to take away, so that together `share` of all numbers goes.

    Each part is cut as far as costs no more, cut alone, than a bound that is the same for all; the bound is the least
    that gives the amount. A share between two levels costs what a straight line says. A part that got better by being
    cut counts as costing nothing.
    """
    if not 0 < share < 1:
        raise SettingsError(f"share is {share}; expected a number between 0 and 1")
    if share > LEVELS[-1]:
        return dict.fromkeys(sizes, share)  # beyond what is measured all lose alike
    total, low = sum(sizes.values()), 0.0
    high = max(0.0, *(max(losses[name].values()) for name in sizes)) + 1e-12
    for _ in range(60):
        bound = (low + high) / 2
        gone = sum(_largest(losses[name], bound) * size for name, size in sizes.items())
        low, high = (bound, high) if gone < share * total else (low, bound)
    found = {name: _largest(losses[name], high) for name in sizes}
    over = sum(found[name] * size for name, size in sizes.items()) / (share * total)
    return {name: min(LEVELS[-1], value / over) for name, value in found.items()}


def _largest(losses: Mapping[float, float], bound: float) -> float:
    """The largest share that costs no more than the bound."""
    before, cost_before = 0.0, 0.0
    for level, cost in losses.items():
        cost = max(cost, cost_before, 0.0)  # it never gets cheaper to lose more
        if cost > bound:
            return before + (level - before) * (bound - cost_before) / (cost - cost_before)
        before, cost_before = level, cost
    return before
