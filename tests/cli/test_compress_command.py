"""`distilrec compress` prints the points, the choice and why; what makes no sense is one message and code 2."""

import pytest

from distilrec.tune import costs


@pytest.fixture
def quick_costs(monkeypatch):
    cost = {"latency_ms": 0.5, "latency_p99_ms": 1.0, "energy_joules": 1.0, "energy_source": "an estimate"}
    monkeypatch.setattr(costs, "measure", lambda served, requests: dict.fromkeys(served, cost))
    monkeypatch.setattr(costs, "_exported", lambda *_: None)


@pytest.mark.usefixtures("quick_costs")
def test_points_choice_and_reason_are_printed_and_test_only_when_asked(command, copied):
    options = ["--max-size", "1MB", "--max-loss", "20%", "--by", "mean", "--trainings", 0]
    called = command("compress", copied, *options)
    assert called.code == 0
    assert "Chosen: " in called.out
    assert "points keep the budget; of these it is the smallest" in called.out
    assert "Left out:" in called.out
    assert f"The chosen model is in {copied / 'compressed' / 'artefact'}" in called.out.replace("\n", "")
    assert "On test" not in called.out
    assert command("compress", copied, *options, "--test").out.count("On test: ") == 2
    weighed = command("size", copied)
    assert "compressed/points/int8" in weighed.out
    assert command("recommend", copied / "compressed").code == 0


@pytest.mark.usefixtures("quick_costs")
def test_a_budget_that_nothing_meets_names_the_nearest(command, copied):
    called = command("compress", copied, "--max-latency-ms", 0.1, "--trainings", 0)
    assert called.code == 0
    assert "keeps the budget: no point keeps 0.1 ms." in called.out
    assert "Nearest: " in called.out
    assert "No model was chosen" in called.out
    assert not (copied / "compressed" / "artefact").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "a budget limits something: give a size, a latency, an energy or a loss"),
        (["--max-size", "0MB"], "size_bytes: Input should be greater than 0"),
        (["--max-size", "1 stone"], "expected a number and a unit, such as 1MB"),
        (["--max-loss", "1%", "--by", "luck"], "by: Input should be 'shown' or 'mean'"),
        (["--max-loss", "1"], "expected a share below all, such as 1% or 0.01"),
        (["--max-size", "1MB", "--teacher", "everybody"], "--teacher 'everybody' is unknown; choose itself, or run"),
        (["--max-size", "1MB", "--prefer", "beauty"], "--prefer 'beauty' is unknown; choose quality, size, latency"),
    ],
)
def test_budgets_that_make_no_sense_are_refused_before_anything_is_done(command, finished, options, told):
    called = command("compress", finished.folder, *options)
    assert (called.code, called.out) == (2, "")
    assert told in called.err


def test_an_artefact_needs_to_be_told_where_points_go(command, finished):
    called = command("compress", finished.folder / "artefact", "--max-size", "1MB")
    assert called.code == 2
    assert "is no run's folder, so say where points go: --out FOLDER" in called.err
