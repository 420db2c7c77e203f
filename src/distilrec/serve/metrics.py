"""What Prometheus is told. With several workers each writes files of its own, and any of them answers for all."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector  # type: ignore[no-untyped-call, unused-ignore]

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which prometheus-client finds the files; it must be set before that is imported."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0)


class Metrics:
    """Counters of one worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        here: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter("distilrec_requests", "Answers, by route and status.", ["route", "status"], **here)
        self._seconds = Histogram(
            "distilrec_request_seconds", "Time to an answer.", ["route"], buckets=_SECONDS, **here
        )
        self.batch = Histogram(
            "distilrec_batch_questions",
            "Questions that went to the model together.",
            buckets=(1, 2, 4, 8, 16, 32),
            **here,
        )
        self.fallbacks = Counter("distilrec_fallbacks", "Answers that were the popular items.", **here)
        self.events = Counter("distilrec_events", "Events stored, or known already.", ["outcome"], **here)
        self.reloads = Counter("distilrec_reloads", "New models taken, or refused.", ["outcome"], **here)
        self.held = Gauge(
            "distilrec_requests_held", "Requests in work or waiting.", multiprocess_mode="livesum", **here
        )
        self._request_of = cache(lambda route, status: self._requests.labels(route, status))
        self._seconds_of = cache(lambda route: self._seconds.labels(route))

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answer. Routes are few, so what counts them is looked up once."""
        self._request_of(route, status).inc()
        self._seconds_of(route).observe(seconds)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call, unused-ignore]
        return generate_latest(registry)
