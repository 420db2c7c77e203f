"""The process that times models: exported ones without torch, others as they are.

`python -m distilrec.tune.timing` reads a question as JSON and answers as JSON; `tune.costs` starts it with libraries
told to use one thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distilrec.energy import Energy, EnergySettings, joules_per_thousand, measure_energy

Answer = Callable[[Sequence[Any]], object]

_WARM_UP = 20
_ENERGY_SECONDS = 0.5
"""Of each model's block of requests; counters need a tenth of a second at least."""
_ROUNDS = 3
"""Blocks of each model; the middle one counts."""


def _main() -> None:
    question = json.load(sys.stdin)
    settings = EnergySettings(watts_per_core=question["watts_per_core"])
    models = {name: _answering(Path(path), flat=name in question["flat"]) for name, path in question["models"].items()}
    milliseconds = time_in_turns(models, question["histories"], question["requests"])
    joules = energy_in_turns(models, question["histories"], settings)
    found = {name: {**milliseconds[name], **joules[name]} for name in models}
    json.dump(found, sys.stdout)


def _answering(folder: Path, *, flat: bool) -> Answer:
    """What gives ten items for a history; where an exported one is to be flat, by scoring every item."""
    from distilrec.exported import EXPORT

    if (folder / EXPORT).is_file():
        from distilrec.search import IndexSettings
        from distilrec.serve.runtime import Runtime

        runtime = Runtime.load(folder, index=IndexSettings(kind="flat" if flat else "auto"))
        return lambda history: runtime.recommend([history], k=min(10, runtime.n_items))
    from distilrec.recommender import Recommender

    recommender = Recommender.from_pretrained(folder)
    return lambda history: recommender.recommend(history, k=min(10, recommender.n_items))


def time_in_turns(
    models: Mapping[str, Answer], histories: Sequence[Sequence[Any]], requests: int
) -> dict[str, dict[str, float]]:
    """Median and 99th percentile of milliseconds; models take turns, each time in another order."""
    names, draw = list(models), np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for request in range(_WARM_UP + requests):
        history = histories[request % len(histories)]
        for at in draw.permutation(len(names)):
            began = time.perf_counter()
            models[names[at]](history)
            seconds[names[at]].append(time.perf_counter() - began)
    found = {}
    for name, values in seconds.items():
        p50, p99 = np.percentile(np.array(values[_WARM_UP:]) * 1000, [50, 99])
        found[name] = {"latency_ms": float(p50), "latency_p99_ms": float(p99)}
    return found


def energy_in_turns(
    models: Mapping[str, Answer], histories: Sequence[Sequence[Any]], settings: EnergySettings
) -> dict[str, dict[str, Any]]:
    """Joules of a thousand requests, the middle of a few blocks, and where the number is from."""
    blocks: dict[str, list[tuple[float, Energy]]] = {name: [] for name in models}
    for _ in range(_ROUNDS):
        for name, answer in models.items():
            blocks[name].append(_block(answer, histories, settings))
    found = {}
    for name, of_model in blocks.items():
        joules, energy = sorted(of_model, key=lambda block: block[0])[len(of_model) // 2]
        found[name] = {"energy_joules": joules, "energy_source": energy.label}
    return found


def _block(answer: Answer, histories: Sequence[Sequence[Any]], settings: EnergySettings) -> tuple[float, Energy]:
    """Joules of a thousand requests, from as many as fit into the time."""
    count, ends = 0, time.perf_counter() + _ENERGY_SECONDS
    with measure_energy(settings) as found:
        while time.perf_counter() < ends:
            answer(histories[count % len(histories)])
            count += 1
    return joules_per_thousand(found.energy, count), found.energy


if __name__ == "__main__":
    _main()
