"""What a model costs to serve, in a process of its own."""

import numpy as np
import polars as pl
import pytest

from distilrec import costs
from distilrec.artifact import artifact_size_bytes
from distilrec.costs import measure_cost
from distilrec.energy import EnergySettings
from distilrec.errors import DistilRecError, SettingsError
from distilrec.latency import Latency
from distilrec.models.popularity import Popularity
from distilrec.recommender import Recommender
from distilrec.types import Ragged


def test_a_saved_model_is_loaded_asked_and_weighed(tmp_path):
    items = pl.DataFrame({"item_id": [10, 11, 12], "train_count": [1, 2, 3]})
    Recommender(Popularity.fit(Ragged.of([[0, 1, 2]]), n_items=3), items).save_pretrained(tmp_path / "model")
    settings = EnergySettings(powercap=tmp_path, watts_per_core=10.0)  # no counters there: it is estimated
    histories = [np.array([10, 11]), [12]]
    found = measure_cost(tmp_path / "model", histories, requests=30, energy=settings)
    assert 0 < found.p50_ms <= found.p95_ms <= found.p99_ms
    assert found.requests == 30
    assert found.size_bytes == artifact_size_bytes(tmp_path / "model")
    assert 0 <= found.model_memory_bytes < found.peak_memory_bytes
    assert found.load_seconds > 0
    assert found.requests_per_second > 0
    assert found.joules_per_thousand == pytest.approx(10 * found.processor_ms)  # ms a request are s a thousand
    assert found.energy == "an estimate: processor time at 10.0 W a core"


@pytest.mark.parametrize(("milliseconds", "at_once"), [(1.0, 256), (50.0, 100), (9000.0, 1)])
def test_a_slow_model_is_asked_by_fewer_at_once(milliseconds, at_once):
    assert costs._at_once(Latency(milliseconds, 0, 0, 1)) == at_once


@pytest.mark.parametrize(("seconds", "made"), [(0, 10), (60, 12)])
def test_a_model_that_is_slow_is_asked_fewer_times(monkeypatch, seconds, made):
    asked = []
    monkeypatch.setattr(costs, "_MOST_SECONDS", seconds)
    monkeypatch.setattr(costs, "ask", lambda _, history: asked.append(history))
    assert len(costs._milliseconds(None, [[1], [2]], 12)) == made
    assert asked == [[1], [2]] * (made // 2)


def test_a_failure_in_the_other_process_is_told_in_a_sentence(tmp_path):
    with pytest.raises(DistilRecError, match=r"^the process that measures costs failed: .*nowhere is not a folder"):
        measure_cost(tmp_path / "nowhere", [[1]])


@pytest.mark.parametrize(("histories", "requests"), [([], 5), ([[1]], 0)])
def test_nothing_to_ask_is_refused(tmp_path, histories, requests):
    with pytest.raises(SettingsError, match=f"{len(histories)} histories, {requests} requests: expected at least one"):
        measure_cost(tmp_path, histories, requests=requests)
