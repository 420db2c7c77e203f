"""What there is to tell of each training of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distilrec.artifact import CONFIG
from distilrec.config import load_yaml
from distilrec.errors import ArtifactError
from distilrec.files import is_leftover, read_json, sha256_of_value
from distilrec.run.folder import digest_of_model, inputs_of_stage

_MOST_LETTERS = 500


@dataclass(frozen=True)
class Tracked:
    """One finished training."""

    name: str
    """As its folder is called: `distilled/seed-0`."""
    settings: Mapping[str, str]
    """The recipe, as in `student.model.width`."""
    epochs: Sequence[Mapping[str, float]]
    """For each epoch `validation` and `seconds`, and under `loss/` the loss and its parts."""
    best_epoch: int
    """From 1."""
    results: Mapping[str, float]
    """`test/ndcg@10` and so on; empty until it is judged."""

    def digest(self) -> str:
        """Of all that is told: another one is told anew."""
        return sha256_of_value(asdict(self))


def tracked_in(run: Path) -> list[Tracked]:
    """Every finished training in the folder of a run."""
    if not (run / "run.json").is_file():
        raise ArtifactError(f"{run} is not the folder of a run (it has no run.json); give what `distilrec run` wrote")
    settings = dict(_flat(load_yaml(run / "recipe.yaml")))
    places = [run / "teacher", *sorted(run.glob("*/seed-*"))]
    return [
        _tracked(place, str(place.relative_to(run)), settings, _results(run, place))
        for place in places
        if not is_leftover(place.relative_to(run)) and (place / "training.json").is_file()
    ]


def _tracked(place: Path, name: str, settings: Mapping[str, str], results: Mapping[str, float]) -> Tracked:
    training = read_json(place / "training.json")
    epochs = [{_epoch_name(key): float(value) for key, value in epoch.items()} for epoch in training["epochs"]]
    return Tracked(name, settings, epochs, int(training["best_epoch"]) + 1, results)


def _epoch_name(key: str) -> str:
    return {"score": "validation", "seconds": "seconds"}.get(key, f"loss/{key}")


def _results(run: Path, place: Path) -> dict[str, float]:
    """Of this training's model alone; empty where that was not judged yet.

    Evaluations stay until the models are judged anew, and say by digest of which models they are: a seed that was
    added, moved or trained again has no results of others.
    """
    judged = run / "evaluation" / (place.parent.name if place.name.startswith("seed-") else place.name)
    models, artefact, told = inputs_of_stage(judged).get("models", []), place / "artefact", judged / "seeds.json"
    digest = digest_of_model(artefact) if (artefact / CONFIG).is_file() else None
    if digest not in models or not told.is_file():
        return {}
    means = read_json(told)["means"][models.index(digest)]
    return {f"test/{name}": float(value) for name, value in means.items()}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(value)[:_MOST_LETTERS]
