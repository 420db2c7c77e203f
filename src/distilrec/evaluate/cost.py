"""What a model costs to serve: time, memory, bytes, energy and money, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field

from distilrec.config import Settings
from distilrec.energy import EnergySettings
from distilrec.errors import SettingsError

_NOT_MEASURED = "not measured"
NO_COSTS = "What models cost beside time was not measured; distilrec cost RUN measures it."


class CostSettings(Settings):
    """How it is measured what a model costs to serve."""

    watts_per_core: float = Field(default=EnergySettings().watts_per_core, gt=0)
    """Power of a busy core, where energy must be estimated."""
    price_per_core_hour: float | None = Field(default=None, ge=0)
    """Of a core for an hour, in any currency; none tells no money."""


@dataclass(frozen=True)
class Cost:
    """One model on one machine, on one thread: history in, ten items out, history excluded."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests: int
    requests_per_second: float
    """Throughput of one busy core when many histories come at once."""
    processor_ms: float
    """Processor time of one request; less than its wall time where the machine did other things too."""
    peak_memory_bytes: int
    """Of the whole process, libraries included."""
    model_memory_bytes: int
    """What of it came with the model and its requests."""
    size_bytes: int
    """Of what must be shipped."""
    load_seconds: float
    """From the folder to a model that answers; importing the libraries is not in it."""
    joules_per_thousand: float | None = None
    """Of a thousand requests; none where it was not measured."""
    energy: str = _NOT_MEASURED
    """How the joules are known: counted, or estimated from what."""

    def money_per_million(self, per_core_hour: float) -> float:
        """The price of a million requests that come one by one, at a price of a core for an hour, in its currency."""
        if per_core_hour < 0:
            raise SettingsError(f"per_core_hour is {per_core_hour}; expected a price, 0 or more")
        return money_per_million(self.processor_ms, per_core_hour)

    def lines(self, *, per_core_hour: float | None = None) -> list[tuple[str, str]]:
        """What is measured, and the value with its unit."""
        told = [
            ("latency p50 / p95 / p99", f"{self.p50_ms:.2f} / {self.p95_ms:.2f} / {self.p99_ms:.2f} ms"),
            ("throughput, many at once", f"{self.requests_per_second:,.0f} a second"),
            ("processor time a request", f"{self.processor_ms:.2f} ms"),
            ("peak memory", f"{_mib(self.peak_memory_bytes)}, of which the model {_mib(self.model_memory_bytes)}"),
            ("bytes on disk", f"{self.size_bytes:,}"),
            ("load time", f"{self.load_seconds:.3f} s"),
        ]
        if self.joules_per_thousand is not None:
            told.append(("energy a thousand requests", f"{self.joules_per_thousand:.2f} J ({self.energy})"))
        if per_core_hour is not None:
            money = self.money_per_million(per_core_hour)
            told.append(("money a million requests", f"{money:.4f} at {per_core_hour:g} a core-hour"))
        return told


@dataclass(frozen=True)
class CostTable:
    """What several models cost, side by side; their latencies are told where they were timed in turns."""

    costs: Mapping[str, Cost]
    """Title of a model -> its cost."""
    machine: str
    """On which it was measured."""
    per_core_hour: float | None = None
    """The price at which money is told, in any currency."""

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> Self:
        """Read back plain values."""
        costs = {title: Cost(**cost) for title, cost in held["costs"].items()}
        return cls(costs, held["machine"], held["per_core_hour"])

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Heading and rows of the table, as text."""
        head = ["model", "a second, many at once", "peak memory", "of it the model", "load time", "J a thousand"]
        money = [] if self.per_core_hour is None else ["money a million"]
        return [*head, *money], [[title, *self._row(cost)] for title, cost in self.costs.items()]

    def _row(self, cost: Cost) -> list[str]:
        return [
            f"{cost.requests_per_second:,.0f}",
            _mib(cost.peak_memory_bytes),
            _mib(cost.model_memory_bytes),
            f"{cost.load_seconds:.3f} s",
            _NOT_MEASURED if cost.joules_per_thousand is None else f"{cost.joules_per_thousand:.2f}",
            *([] if self.per_core_hour is None else [f"{cost.money_per_million(self.per_core_hour):.4f}"]),
        ]

    @property
    def note(self) -> str:
        """How it was measured."""
        energy = ", ".join(dict.fromkeys(cost.energy for cost in self.costs.values()))
        money = "" if self.per_core_hour is None else f" Money is processor time at {self.per_core_hour:g} a core-hour."
        return (
            f"Costs: each model in a process of its own, on one thread of {self.machine}, without a server around it. "
            "Requests a second are of a core that does nothing else. Peak memory is of the whole process; load time is "
            f"from disk, when libraries are imported. Joules of a thousand requests are {energy}.{money}"
        )


def money_per_million(processor_ms: float, per_core_hour: float) -> float:
    """What a million requests cost that each keep one core busy so long: 3.6 ms at 1 a core-hour is 1."""
    return processor_ms / 1000 * 1_000_000 / 3600 * per_core_hour


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
