"""What models cost to serve, as a stage of a run and measured later: once, and told by results, card and report."""

import pytest

from distilrec.errors import ArtifactError
from distilrec.evaluate.cost import NO_COSTS, Cost, CostSettings, CostTable
from distilrec.report.gather import gather
from distilrec.report.markdown import markdown_page
from distilrec.run.costs import add_costs
from distilrec.run.results import TITLES, Results
from small_world import worked

COST = Cost(1, 2, 3, 10, 5000, 3.6, 300 << 20, 2 << 20, 1234, 0.25, 18.0, "an estimate")


@pytest.fixture
def asked(quick, monkeypatch):
    """What was measured, in pretence."""
    asked = []

    def pretend(artefact, histories, *, requests, energy):
        asked.append((artefact.parent.name, requests, energy.watts_per_core))
        return COST

    monkeypatch.setattr("distilrec.run.costs.measure_cost", pretend)
    return asked


def test_a_run_measures_every_model_once(small, copied, asked):
    found, said = small.run(copied, "costs.watts_per_core=4", "costs.price_per_core_hour=0.5")
    assert worked(said) == {"costs"}
    assert asked == [(name, 10, 4.0) for name in ("popularity", "item_knn", "ease", "seed-0", "teacher", "seed-0")]
    assert found.results.costs.costs == dict.fromkeys(TITLES.values(), COST)
    again, said = small.run(copied, "costs.watts_per_core=4", "costs.price_per_core_hour=1")
    assert worked(said) == set()
    assert again.results.costs.per_core_hour == 1
    assert Results.load(copied) == again.results


def test_the_table_has_every_cost_with_its_unit_and_the_note_its_machine():
    """3.6 ms of a core are a millionth of an hour, so a million of them cost what an hour does."""
    table = CostTable({"teacher": COST, "student": Cost(**{**vars(COST), "joules_per_thousand": None})}, "a chip", 0.5)
    head, body = table.cells()
    assert head == [
        *("model", "a second, many at once", "peak memory", "of it the model", "load time", "J a thousand"),
        "money a million",
    ]
    assert body[0] == ["teacher", "5,000", "300.0 MiB", "2.0 MiB", "0.250 s", "18.00", "0.5000"]
    assert body[1][5] == "not measured"
    assert "one thread of a chip" in table.note
    assert "are an estimate. Money is processor time at 0.5 a core-hour." in table.note
    without = CostTable({"teacher": COST}, "a chip")
    assert without.cells() == (head[:-1], [body[0][:-1]])
    assert "Money" not in without.note


def test_what_was_not_measured_is_said_to_be(finished):
    assert finished.results.costs is None
    assert NO_COSTS in finished.results.markdown()
    assert NO_COSTS in markdown_page([gather(finished.folder)], command="c")


def test_costs_are_added_to_a_run_that_is_there(copied, asked):
    card = copied / "artefact" / "README.md"
    before = card.read_text()
    found = add_costs(copied, CostSettings(), requests=7, say=print)
    assert [requests for _, requests, _ in asked] == [7] * 6
    assert Results.load(copied) == found
    told = found.markdown()
    assert (copied / "results.md").read_text() == told
    assert f"## Results\n\n{told}" in card.read_text()
    assert card.read_text().partition("## Data")[2] == before.partition("## Data")[2]
    report = markdown_page([gather(copied)], command="c")
    assert "| distilled student | 5,000 | 300.0 MiB | 2.0 MiB | 0.250 s | 18.00 |" in report
    assert NO_COSTS not in report


def test_an_unfinished_run_has_nothing_to_add_to(copied):
    (copied / "results.json").unlink()
    with pytest.raises(ArtifactError, match=r"results\.json"):
        add_costs(copied, CostSettings(), requests=7)
