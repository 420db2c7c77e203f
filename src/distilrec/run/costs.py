"""What the models of a run cost to serve: a stage of the run, or measured later for a run that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from distilrec.artifact import CARD
from distilrec.card import with_section
from distilrec.costs import measure_cost
from distilrec.energy import EnergySettings
from distilrec.evaluate.cost import Cost, CostSettings, CostTable
from distilrec.files import read_json, write_json, write_text
from distilrec.machine import machine_facts
from distilrec.run.finished import some_histories
from distilrec.run.folder import RunFolder, Say, digest_of_model, digest_of_stage
from distilrec.run.lists import artefact_of
from distilrec.run.results import TITLES, Results
from distilrec.run.stages import Prepared, load_prepared

_COSTS = "costs.json"


def measured_costs(
    run: RunFolder, artefacts: Mapping[str, Path], prepared: Prepared, settings: CostSettings, *, requests: int
) -> CostTable:
    """Each model in a process of its own; a second call with the same models does not measure again."""
    energy = EnergySettings(watts_per_core=settings.watts_per_core)

    def work(folder: Path) -> None:
        histories = some_histories(prepared)
        found = {
            name: vars(measure_cost(path, histories, requests=requests, energy=energy))
            for name, path in artefacts.items()
        }
        facts = machine_facts()
        write_json(folder / _COSTS, {"machine": f"{facts['processor']}, {facts['cores']} cores", "models": found})

    inputs = {
        "data": digest_of_stage(run.path / "data"),
        "models": {name: digest_of_model(path) for name, path in artefacts.items()},
        "requests": requests,
        "watts_per_core": settings.watts_per_core,
    }
    held = read_json(run.stage("costs", inputs, work) / _COSTS)
    costs = {TITLES.get(name, name): Cost(**held["models"][name]) for name in artefacts}
    return CostTable(costs, held["machine"], settings.price_per_core_hour)


def add_costs(run: Path, settings: CostSettings, *, requests: int, say: Say = print) -> Results:
    """Measure the models of a finished run, and write what they cost into its results and its card."""
    before, folder = Results.load(run), RunFolder(run, say=say)
    artefacts = {row.name: artefact_of(run, row.name) for row in before.rows}
    with folder.locked():
        found = measured_costs(folder, artefacts, load_prepared(run / "data"), settings, requests=requests)
        results = replace(before, costs=found)
        results.save(run)
        card = run / "artefact" / CARD
        if card.is_file():  # people may have edited the rest
            write_text(card, with_section(card.read_text(encoding="utf-8"), "Results", results.markdown()))
    return results
