"""What a saved model costs to serve, measured in a process of its own on one thread.

`python -m distilrec.costs` is that process; `measure_cost` starts it. Peak memory needs a process for each model;
`distilrec.latency` times several beside one another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilrec.artifact import CONFIG, artifact_size_bytes
from distilrec.energy import EnergySettings, joules_per_thousand, measure_energy
from distilrec.errors import SettingsError
from distilrec.evaluate.cost import Cost
from distilrec.files import read_json
from distilrec.latency import WARM_UP, Latency, answer, ask, ask_with_one_thread, plain_ids
from distilrec.memory import peak_memory_bytes
from distilrec.models.kinds import import_kind

if TYPE_CHECKING:  # it loads torch, which only the other process needs
    from distilrec.recommender import Id, Recommender

_MOST_SECONDS, _FEWEST = 60, 10
_MOST_AT_ONCE, _SECONDS_AT_ONCE = 256, 5


def measure_cost(
    artefact: Path,
    histories: Sequence[Sequence[Id]],
    *,
    requests: int = 200,
    energy: EnergySettings | None = None,
) -> Cost:
    """Load a saved model and ask it, one history after the other for a minute at most, then many at once."""
    if not histories or requests < 1:
        raise SettingsError(f"{len(histories)} histories, {requests} requests: expected at least one of each")
    settings = energy or EnergySettings()
    question = {
        "artefact": str(artefact),
        "histories": plain_ids(histories),
        "requests": requests,
        "energy": settings.model_dump(mode="json"),
    }
    return Cost(**ask_with_one_thread("distilrec.costs", question), size_bytes=artifact_size_bytes(artefact))


def _measure(question: dict[str, Any]) -> dict[str, Any]:
    from distilrec.recommender import Recommender

    _import_libraries(Path(question["artefact"]))
    before, began = peak_memory_bytes() or 0, time.perf_counter()
    recommender = Recommender.from_pretrained(question["artefact"])
    loaded = time.perf_counter() - began
    histories, requests = question["histories"], int(question["requests"])
    for number in range(WARM_UP):
        ask(recommender, histories[number % len(histories)])
    with measure_energy(EnergySettings(**question["energy"])) as found:
        milliseconds = _milliseconds(recommender, histories, requests)
    peak = peak_memory_bytes() or 0
    latency = Latency.of(milliseconds)
    return {
        "p50_ms": latency.p50,
        "p95_ms": latency.p95,
        "p99_ms": latency.p99,
        "requests": len(milliseconds),
        "requests_per_second": _throughput(recommender, histories, at_once=_at_once(latency)),
        "processor_ms": 1000 * found.energy.processor_seconds / len(milliseconds),
        "peak_memory_bytes": peak,
        "model_memory_bytes": peak - before,
        "load_seconds": loaded,
        "joules_per_thousand": joules_per_thousand(found.energy, len(milliseconds)),
        "energy": found.energy.label,
    }


def _import_libraries(artefact: Path) -> None:
    """What the model needs is imported before it is loaded, so that neither time nor memory of it is the model's."""
    config = artefact / CONFIG
    if config.is_file():
        import_kind(str(read_json(config).get("model", {}).get("kind")))


def _milliseconds(recommender: Recommender, histories: Sequence[Sequence[Id]], requests: int) -> list[float]:
    """Of each request; of a model that takes seconds for one, fewer are made."""
    found: list[float] = []
    ends = time.perf_counter() + _MOST_SECONDS
    while len(found) < requests and (len(found) < _FEWEST or time.perf_counter() < ends):
        began = time.perf_counter()
        ask(recommender, histories[len(found) % len(histories)])
        found.append(1000 * (time.perf_counter() - began))
    return found


def _at_once(latency: Latency) -> int:
    """How many histories come together: a language model is not asked for minutes."""
    return max(1, min(_MOST_AT_ONCE, int(1000 * _SECONDS_AT_ONCE / latency.p50)))


def _throughput(recommender: Recommender, histories: Sequence[Sequence[Id]], *, at_once: int) -> float:
    """Of a core that does nothing else: by processor time, which other work on the machine does not stretch."""
    many = [histories[number % len(histories)] for number in range(at_once)]
    ask(recommender, many)
    began = time.process_time()
    ask(recommender, many)
    return at_once / (time.process_time() - began)


if __name__ == "__main__":
    answer(_measure)
