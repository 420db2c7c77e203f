"""How long a request takes, in a process of its own whose libraries were told to use one thread.

Thread counts of numerical libraries are fixed when they load, so a fair number for one thread needs a fresh process.
`python -m distilrec.latency` is that process; `milliseconds_of_requests` starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distilrec.errors import DistilRecError, SettingsError

if TYPE_CHECKING:  # it loads torch, which only the other process needs
    from distilrec.recommender import Id, Recommender

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "POLARS_MAX_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)
WARM_UP = 20


@dataclass(frozen=True)
class Latency:
    """Milliseconds from outside ids to ranked outside ids: history in, ten items out, history excluded."""

    p50: float
    p95: float
    p99: float
    requests: int

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Latency:
        """What the times of single requests come to."""
        p50, p95, p99 = (float(value) for value in np.percentile(milliseconds, [50, 95, 99]))
        return cls(p50, p95, p99, len(milliseconds))


def milliseconds_of_requests(
    artefacts: Mapping[str, Path], histories: Sequence[Sequence[Id]], *, requests: int = 200
) -> dict[str, list[float]]:
    """Time saved models on one thread, one after the other in one process, so that the figures compare.

    Requests go through the models in turns, so that a slow moment of the machine meets them all. What warms up is left
    out.
    """
    if not histories or requests < 1:
        raise SettingsError(f"{len(histories)} histories, {requests} requests: expected at least one of each")
    question = {
        "artefacts": {name: str(path) for name, path in artefacts.items()},
        "histories": plain_ids(histories),
    }
    found: dict[str, list[float]] = ask_with_one_thread("distilrec.latency", {**question, "requests": requests})
    return found


def plain_ids(histories: Sequence[Sequence[Id]]) -> list[list[Id]]:
    """Histories as JSON can hold them: NumPy's numbers and texts become Python's."""
    return [[one.item() if isinstance(one, np.generic) else one for one in history] for history in histories]


def ask_with_one_thread(module: str, question: Mapping[str, Any]) -> Any:  # noqa: ANN401  (whatever JSON holds)
    """What a module's own process answers, JSON on both sides; its numerical libraries are told to use one thread."""
    answer = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        env={**os.environ, **ONE_THREAD},
        check=False,
    )
    if answer.returncode != 0:
        what = module.rpartition(".")[2]
        raise DistilRecError(f"the process that measures {what} failed: {answer.stderr.strip()[-2000:]}")
    return json.loads(answer.stdout)


def _measure(
    recommenders: Mapping[str, Recommender], histories: Sequence[Sequence[Id]], requests: int
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in recommenders}
    for request in range(WARM_UP + requests):
        history = histories[request % len(histories)]
        for name, recommender in recommenders.items():
            began = time.perf_counter()
            ask(recommender, history)
            seconds[name].append(time.perf_counter() - began)
    return {name: [1000 * value for value in values[WARM_UP:]] for name, values in seconds.items()}


def ask(recommender: Recommender, history: Sequence[Id] | Sequence[Sequence[Id]]) -> None:
    """The ten best items for one history, or for each of several."""
    recommender.recommend(history, k=min(10, recommender.n_items))


def answer(measure: Callable[[dict[str, Any]], Any]) -> None:
    """In the process that is asked: read the question, write what is measured, or say in a sentence why not."""
    try:
        found = measure(json.load(sys.stdin))
    except DistilRecError as error:
        sys.exit(str(error))
    json.dump(found, sys.stdout)


def _asked(question: dict[str, Any]) -> dict[str, list[float]]:
    from distilrec.recommender import Recommender

    recommenders = {name: Recommender.from_pretrained(path) for name, path in question["artefacts"].items()}
    return _measure(recommenders, question["histories"], question["requests"])


if __name__ == "__main__":
    answer(_asked)
