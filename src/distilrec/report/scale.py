"""Where a value lies on an axis, and which values an axis names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

_FEWEST_TICKS, _MOST_TICKS = 2, 6
_NARROW = 3  # a logarithmic axis within this factor names its values as a linear one does


@dataclass(frozen=True)
class Scale:
    """From values to places along an axis."""

    low: float
    high: float
    start: float
    """Where `low` is drawn."""
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a value is drawn; one beyond the ends is drawn at the end."""
        if self.log:
            position = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            position = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, position)) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values between the ends: some five of them, or few and by decades on a logarithmic axis."""
        if not self.log or self.high < _NARROW * self.low:
            return _round_ticks(self.low, self.high)
        inside = [
            factor * 10**power
            for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for factor in range(1, 10)
            if self.low <= factor * 10**power <= self.high
        ]
        for wanted in (range(1, 10), (1, 2, 5), (1, 3), (1,)):
            kept = [tick for tick in inside if _leading(tick) in wanted]
            if len(kept) <= _MOST_TICKS:
                return kept if len(kept) > _FEWEST_TICKS else _round_ticks(self.low, self.high)
        return inside[:: len(inside) // _MOST_TICKS]


def linear(values: Iterable[float], start: float, end: float, *, zero: bool = False, room: float = 0.05) -> Scale:
    """An axis that holds all values, with some room beyond them; `zero` makes it begin at nothing."""
    found = list(values)
    low, high = min(found, default=0.0), max(found, default=1.0)
    low = 0.0 if zero else low
    spread = (high - low) or abs(high) or 1.0
    return Scale(low if zero else low - room * spread, high + room * spread, start, end)


def logarithmic(values: Iterable[float], start: float, end: float, *, room: float = 0.08) -> Scale:
    """A logarithmic axis that holds all values, which are above 0."""
    found = [value for value in values if value > 0]
    low, high = min(found, default=1.0), max(found, default=10.0)
    if high / low < 1.5:  # one value, or nearly: room on both sides
        low, high = low / 1.5, high * 1.5
    beyond = (high / low) ** room
    return Scale(low / beyond, high * beyond, start, end, log=True)


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other beats: none is as good at less cost. By rising cost; a pair is (cost, quality)."""
    order = sorted(range(len(points)), key=lambda n: (points[n][0], -points[n][1]))
    best, kept = -math.inf, []
    for number in order:
        if points[number][1] > best:
            best = points[number][1]
            kept.append(number)
    return kept


def tick_text(scale: Scale, values: Sequence[float]) -> Callable[[float], str]:
    """How the values of an axis are written: with as many places as tell them apart."""
    step = min((abs(b - a) for a, b in pairwise(values)), default=1.0)
    places = next((n for n in range(6) if math.isclose(step, round(step, n), rel_tol=1e-6)), 6)
    return lambda value: f"{value:g}" if scale.log else f"{value:.{places}f}"


def _round_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _leading(value: float) -> int:
    return round(value / float(10 ** math.floor(math.log10(value) + 1e-9)))
