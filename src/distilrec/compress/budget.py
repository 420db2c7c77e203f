"""What a compressed model may cost, and how such limits are written: `1MB`, `0.5`, `1%`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from distilrec.config import Settings, parse
from distilrec.errors import SettingsError

Preference = Literal["quality", "size", "latency", "energy"]
Evidence = Literal["shown", "mean"]
LIMITS = ("size_bytes", "latency_ms", "energy_joules", "loss")

_BYTES: Mapping[str, int] = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20}
_JOULES: Mapping[str, float] = {"": 1.0, "j": 1.0, "mj": 1e-3}
_NUMBER_AND_UNIT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*([A-Za-z%]*)\s*")


class Budget(Settings):
    """Limits that a compressed model must keep, all of them; none sets no limit."""

    size_bytes: int | None = Field(None, gt=0)
    """Bytes of all that is shipped: arrays, catalogue, card and config."""
    latency_ms: float | None = Field(None, gt=0)
    """Milliseconds of the median request, on one thread of the machine that measures."""
    energy_joules: float | None = Field(None, gt=0)
    """Joules for a thousand requests."""
    loss: float | None = Field(None, ge=0, lt=1)
    """Share of the uncompressed model's quality on validation that may be lost."""
    by: Evidence = "shown"
    """What a loss is judged by: a test that has to rule out a larger one, or its mean alone."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if all(getattr(self, name) is None for name in LIMITS):
            raise ValueError("a budget limits something: give a size, a latency, an energy or a loss")
        if self.loss == 0 and self.by == "shown":
            raise ValueError(
                "no test shows that nothing at all is lost; allow a little, such as 0.5%, or take --by mean"
            )
        return self

    @property
    def preference(self) -> Preference:
        """What is made best within the limits: where a loss is allowed, fewest bytes; else quality."""
        return "quality" if self.loss is None else "size"


def budget_from(
    *, size: str | None, latency_ms: float | None, energy: str | None, loss: str | None, by: str = "shown"
) -> Budget:
    """A budget from what people write: sizes in B, kB, MB, GB, KiB, MiB; energy in J or mJ; a loss as 1% or 0.01.

    Raises:
        SettingsError: there is no limit at all, one makes no sense, or a unit is unknown.
    """
    values = {
        "size_bytes": None if size is None else round(_in_units(size, "size", _BYTES, "1MB, 500kB or 250000")),
        "latency_ms": latency_ms,
        "energy_joules": None if energy is None else _in_units(energy, "energy", _JOULES, "0.5J or 500mJ"),
        "loss": None if loss is None else _share(loss),
        "by": by,
    }
    return parse(Budget, values, where="budget")


def size_text(size_bytes: float) -> str:
    """`825.6 kB`, in powers of a thousand."""
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.4g} {unit}"
    return f"{size_bytes:.0f} B"


def _in_units(text: str, what: str, units: Mapping[str, float], examples: str) -> float:
    found = _NUMBER_AND_UNIT.fullmatch(text)
    if found is None or found[2].lower() not in units:
        raise SettingsError(
            f"the largest {what} is given as {text!r}; expected a number and a unit, such as {examples}"
        )
    return float(found[1]) * units[found[2].lower()]


def _share(text: str) -> float:
    found = _NUMBER_AND_UNIT.fullmatch(text)
    share = None if found is None or found[2] not in ("", "%") else float(found[1]) / (100 if found[2] else 1)
    if share is None or not 0 <= share < 1:
        raise SettingsError(f"the largest loss is given as {text!r}; expected a share below all, such as 1% or 0.01")
    return share
