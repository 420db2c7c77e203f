"""What requests cost on this machine: time and energy of several models, measured in turns and kept."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distilrec.artifact import CONFIG
from distilrec.energy import EnergySettings
from distilrec.errors import MissingExtraError
from distilrec.files import read_json, sha256_of_file, write_json
from distilrec.latency import ask_with_one_thread
from distilrec.machine import processor, usable_cores
from distilrec.progress import progress
from distilrec.recommender import Id, Recommender
from distilrec.run.folder import RunFolder
from distilrec.types import IntArray

_COSTS, _SERVED = "costs.json", "served"


@dataclass(frozen=True)
class Cost:
    """Of one model's requests, on one thread."""

    latency_ms: float
    """The median."""
    latency_p99_ms: float
    energy_joules: float
    """For a thousand requests."""
    energy_source: str
    """Where it is from: a counter, or an estimate and of what."""


@dataclass(frozen=True)
class Requests:
    """What models are asked for while they are timed."""

    histories: Sequence[Sequence[Id]]
    """Outside ids, oldest first."""
    rows: Sequence[IntArray]
    """The same as row numbers."""
    count: int
    """How many requests are timed."""
    energy: EnergySettings = field(default_factory=EnergySettings)
    """How energy is known."""


def measure_costs(
    artefacts: Mapping[str, Path], requests: Requests, folder: RunFolder, name: str, *, quiet: bool = False
) -> dict[str, Cost]:
    """Time the models in turns, so that figures compare, unless just these were timed on this machine before.

    Models are timed as they are served: exported, and read without torch. What cannot be exported, since its kind has
    no graph or a library is missing, is timed as it is.
    """
    served = _served(artefacts, requests, folder, quiet=quiet)

    def work(place: Path) -> None:
        write_json(place / _COSTS, measure(served, requests))

    inputs = {
        "models": {model: sha256_of_file(path / CONFIG) for model, path in artefacts.items()},
        "requests": requests.count,
        "energy": requests.energy.model_dump(mode="json"),
        "machine": machine(),
    }
    done = folder.stage(f"costs/{name}", inputs, work)
    return {model: Cost(**values) for model, values in read_json(done / _COSTS).items()}


def measure(
    served: Mapping[str, Path], requests: Requests, *, flat: Sequence[str] = ()
) -> dict[str, dict[str, object]]:
    """The costs of models in folders, exported or not, by a process of its own.

    `flat` names exported models that score every item, however many there are.
    """
    question = {
        "flat": list(flat),
        "models": {name: str(path) for name, path in served.items()},
        "histories": list(requests.histories),
        "requests": requests.count,
        "watts_per_core": requests.energy.watts_per_core,
    }
    found: dict[str, dict[str, object]] = ask_with_one_thread("distilrec.tune.timing", question)
    return found


def _served(artefacts: Mapping[str, Path], requests: Requests, folder: RunFolder, *, quiet: bool) -> dict[str, Path]:
    """Where each model lies as it is served."""
    found = {}
    with progress("Exporting", total=len(artefacts), quiet=quiet) as advance:
        for name, artefact in artefacts.items():
            found[name] = _exported(artefact, requests, folder) or artefact
            advance(1, name)
    return found


def _exported(artefact: Path, requests: Requests, folder: RunFolder) -> Path | None:
    """The model's exported folder; none where it cannot be exported."""
    from distilrec.models.product_form import ProductForm

    if not isinstance(Recommender.from_pretrained(artefact).model, ProductForm):
        return None
    try:
        from distilrec.run.exporting import ExportSettings, export
    except MissingExtraError:
        return None

    def work(place: Path) -> None:
        settings = ExportSettings(all_in_one=False, histories=len(requests.rows))
        export(artefact, place / _SERVED, settings, histories=requests.rows)

    point = artefact.parent.name
    try:
        return folder.stage(f"exported/{point}", {"model": sha256_of_file(artefact / CONFIG)}, work) / _SERVED
    except MissingExtraError:
        return None


def machine() -> str:
    """The machine that measures, in words."""
    return f"{processor()}, {usable_cores():g} cores, {platform.system()}"
