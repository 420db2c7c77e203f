"""Weights and temperatures that change while a student is trained."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from distilrec.config import Settings


class Schedule(Settings):
    """A number that goes from `start` to `end` as training progresses, from 0 at its first step to 1 at its last.

    To distil for the first part only, drop the teacher's weight to 0 with a step: the student then learns from the data
    alone, and the teacher need not be asked any more.

    >>> first_half = Schedule(kind="step", start=0.7, end=0.0, begin=0.5)
    >>> [value_at(first_half, progress) for progress in (0.0, 0.49, 0.5, 1.0)]
    [0.7, 0.7, 0.0, 0.0]

    In a recipe: `alpha: {kind: step, start: 0.7, end: 0.0, begin: 0.5}`.
    """

    kind: Literal["constant", "linear", "cosine", "step"]
    """How it goes: it stays; along a line; along half a cosine, slow at both ends; or in one jump at `begin`."""
    start: float
    """The value before `begin`."""
    end: float | None = None
    """The value after `finish`, or after a step; a constant has none."""
    begin: float = Field(0.0, ge=0, le=1)
    """The share of training after which it starts to change."""
    finish: float = Field(1.0, ge=0, le=1)
    """The share of training after which it changes no more; a step has none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind == "constant":
            self._check_constant()
        elif self.end is None:
            raise ValueError(f"a {self.kind} schedule needs an end, the value that it goes to")
        if self.kind == "step" and self.finish != 1:
            raise ValueError(f"a step jumps at begin, and has no finish (got {self.finish}); set begin instead")
        if self.kind == "step" and self.begin == 0:
            raise ValueError("a step at begin 0 would never have its start; set begin above 0, or write a plain number")
        if self.begin > self.finish:
            raise ValueError(f"begin {self.begin} comes after finish {self.finish}; expected begin at most finish")
        return self

    def _check_constant(self) -> None:
        if (self.end, self.begin, self.finish) != (None, 0, 1):
            raise ValueError(
                "a constant schedule has a start alone; leave out end, begin and finish, or choose linear, cosine or "
                "step"
            )


def _number_or_schedule(value: Any) -> str:  # noqa: ANN401  (whatever a recipe says)
    return "<schedule>" if isinstance(value, dict | Schedule) else "<number>"


Scheduled = Annotated[
    Annotated[float, Tag("<number>")] | Annotated[Schedule, Tag("<schedule>")], Discriminator(_number_or_schedule)
]
"""A plain number, which is a constant, or a schedule; any finite values."""


def value_at(scheduled: float | Schedule, progress: float) -> float:
    """Its value when a share `progress` of training is done."""
    if not isinstance(scheduled, Schedule):
        return scheduled
    if scheduled.end is None or progress < scheduled.begin:
        return scheduled.start
    if scheduled.kind == "step" or progress >= scheduled.finish:
        return scheduled.end
    gone = (progress - scheduled.begin) / (scheduled.finish - scheduled.begin)
    if scheduled.kind == "cosine":
        gone = (1 - math.cos(math.pi * gone)) / 2
    return (1 - gone) * scheduled.start + gone * scheduled.end


def is_zero_from(scheduled: float | Schedule, progress: float) -> bool:
    """Whether it is 0 at this progress and ever after, so that what it weighs need not be worked out any more."""
    if value_at(scheduled, progress) != 0 or not isinstance(scheduled, Schedule) or scheduled.end is None:
        return value_at(scheduled, progress) == 0
    changes_no_more = progress >= (scheduled.begin if scheduled.kind == "step" else scheduled.finish)
    return scheduled.end == 0 and (changes_no_more or scheduled.start == 0)


def bounds(scheduled: float | Schedule) -> tuple[float, float]:
    """The least and the greatest value that it ever has."""
    if not isinstance(scheduled, Schedule):
        return scheduled, scheduled
    end = scheduled.start if scheduled.end is None else scheduled.end
    return min(scheduled.start, end), max(scheduled.start, end)


def _never_negative(scheduled: float | Schedule) -> float | Schedule:
    if bounds(scheduled)[0] < 0:
        raise ValueError(f"a weight is never negative; its least value is {bounds(scheduled)[0]}")
    return scheduled


def _share(scheduled: float | Schedule) -> float | Schedule:
    least, greatest = bounds(scheduled)
    if least < 0 or greatest > 1:
        raise ValueError(f"a share lies between 0 and 1; its values go from {least} to {greatest}")
    return scheduled


def _above_zero(scheduled: float | Schedule) -> float | Schedule:
    if bounds(scheduled)[0] <= 0:
        raise ValueError(f"a temperature is above 0; its least value is {bounds(scheduled)[0]}")
    return scheduled


ScheduledWeight = Annotated[Scheduled, AfterValidator(_never_negative)]
"""A `Scheduled` that is refused where it would be negative."""
ScheduledShare = Annotated[Scheduled, AfterValidator(_share)]
"""A `Scheduled` between 0 and 1."""
ScheduledTemperature = Annotated[Scheduled, AfterValidator(_above_zero)]
"""A `Scheduled` above 0."""
