"""What requests cost: in turns, as models are served, and kept."""

import time

import pytest

from distilrec.energy import EnergySettings
from distilrec.errors import DistilRecError
from distilrec.exported import EXPORT
from distilrec.run.folder import RunFolder
from distilrec.serve.runtime import Runtime
from distilrec.tune import costs, timing
from distilrec.tune.compression import requests_of
from distilrec.tune.costs import Requests, measure, measure_costs
from distilrec.tune.subject import subject_of


def works_for(milliseconds):
    def answer(history):
        ends = time.perf_counter() + milliseconds / 1000
        while time.perf_counter() < ends:
            pass

    return answer


def test_models_are_asked_in_turns_and_as_often_as_told(monkeypatch):
    monkeypatch.setattr(timing, "_WARM_UP", 2)
    asked = []
    models = {name: (lambda history, name=name: asked.append((name, history))) for name in ("a", "b")}
    found = timing.time_in_turns(models, [[1], [2]], 4)
    assert len(asked) == 2 * (2 + 4)
    for turn in range(0, 12, 2):
        assert {name for name, _ in asked[turn : turn + 2]} == {"a", "b"}
        assert asked[turn][1] == asked[turn + 1][1] == [1 + turn // 2 % 2]
    assert len({name for name, _ in asked[::2]}) == 2  # not always the same one first
    assert found["a"]["latency_ms"] <= found["a"]["latency_p99_ms"]


def test_twice_the_work_takes_twice_the_energy(monkeypatch):
    monkeypatch.setattr(timing, "_ENERGY_SECONDS", 0.1)
    settings = EnergySettings(watts_per_core=10, powercap="/nowhere")
    found = timing.energy_in_turns({"one": works_for(1), "two": works_for(2)}, [[1]], settings)
    assert found["two"]["energy_joules"] == pytest.approx(2 * found["one"]["energy_joules"], rel=0.3)
    assert found["one"]["energy_joules"] == pytest.approx(0.001 * 10 * 1000, rel=0.3)  # 1 ms of 10 W, a thousand times
    assert found["one"]["energy_source"] == "an estimate: processor time at 10.0 W a core"


def test_a_process_that_fails_is_told(tmp_path):
    with pytest.raises(DistilRecError, match=r"(?s)the process that measures timing failed: .*gone is not a folder"):
        measure({"gone": tmp_path / "gone"}, Requests([[1]], [], 1))


@pytest.mark.parametrize(("flat", "kind"), [(True, "flat"), (False, "auto")])
def test_an_exported_model_scores_every_item_where_that_is_asked(tmp_path, monkeypatch, flat, kind):
    asked = []
    monkeypatch.setattr(Runtime, "load", lambda folder, index: asked.append((folder, index.kind)))
    (tmp_path / EXPORT).touch()
    timing._answering(tmp_path, flat=flat)
    assert asked == [(tmp_path, kind)]


def test_costs_are_kept_for_the_same_models_and_measured_anew_for_others(finished, tmp_path, monkeypatch):
    calls = []

    def pretend(served, requests):
        calls.append(list(served))
        return {name: dict.fromkeys(timing_fields(), 1.0) for name in served}

    monkeypatch.setattr(costs, "measure", pretend)
    monkeypatch.setattr(costs, "_exported", lambda *_: None)
    folder, asked = RunFolder(tmp_path, say=str), Requests([[1]], [], 10)
    models = {"student": finished.folder / "artefact"}
    for _ in range(2):
        measure_costs(models, asked, folder, "all", quiet=True)
    measure_costs({**models, "ease": finished.folder / "baselines/ease/artefact"}, asked, folder, "all", quiet=True)
    assert calls == [["student"], ["student", "ease"]]


def timing_fields():
    return ("latency_ms", "latency_p99_ms", "energy_joules", "energy_source")


@pytest.mark.slow  # a graph is made, and two processes load their libraries
def test_a_student_is_timed_exported_and_a_baseline_as_it_is(finished, tmp_path):
    subject, folder = subject_of(finished.folder), RunFolder(tmp_path, say=str)
    models = {"student": subject.artefact, "ease": finished.folder / "baselines/ease/artefact"}
    found = measure_costs(models, requests_of(subject, EnergySettings()), folder, "all", quiet=True)
    assert (tmp_path / "exported" / finished.folder.name / "served" / EXPORT).is_file()
    assert len(list((tmp_path / "exported").iterdir())) == 1
    for cost in found.values():
        assert 0 < cost.latency_ms <= cost.latency_p99_ms
        assert cost.energy_joules > 0
