"""What a model costs to serve: time, memory, bytes, energy and money, from what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from distilrec.errors import SettingsError


@dataclass(frozen=True)
class Cost:
    """One model on one machine, on one thread: history in, ten items out, history excluded."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests: int
    requests_per_second: float
    """Throughput of one core when many histories come at once."""
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
    energy: str = "not measured"
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


def money_per_million(processor_ms: float, per_core_hour: float) -> float:
    """What a million requests cost that each keep one core busy so long: 3.6 ms at 1 a core-hour is 1."""
    return processor_ms / 1000 * 1_000_000 / 3600 * per_core_hour


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
