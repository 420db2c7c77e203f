"""Read the folder of a run: finished, unfinished or damaged. What cannot be read is told in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from distilrec.config import load_yaml, parse
from distilrec.data.interactions import Interactions
from distilrec.data.split import Split, SplitSettings, split
from distilrec.errors import ArtifactError, DistilRecError
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.kept_lists import LISTS, load_lists
from distilrec.files import is_leftover, read_json
from distilrec.latency import Latency
from distilrec.report.alike import asked_alike, asks
from distilrec.report.facts import Curve, Model, RunFacts, Stage
from distilrec.report.origin import data_facts, digests_of, machine_of, public_recipe, stages_of
from distilrec.report.samples import samples_of
from distilrec.report.shown import VECTORS, read_vectors, shown_by
from distilrec.report.slices import judged, slicings_of
from distilrec.report.words import capital
from distilrec.run.results import RESULTS, TITLES, Results
from distilrec.types import FloatArray, IntArray

T = TypeVar("T")
Log = tuple[Interactions, Split]
_METRIC = "ndcg@10"  # where a run is so unfinished that it does not say


def gather(run: Path) -> RunFacts:
    """All that a report needs of a run.

    Raises:
        ArtifactError: the folder is not that of a run.
    """
    if not (run / "run.json").is_file():
        raise ArtifactError(f"{run} is not the folder of a run (it has no run.json); give what `distilrec run` wrote")
    return _Reading(run).facts()


class _Reading:
    """One run, piece by piece; a piece that is damaged is noted and left out."""

    def __init__(self, run: Path) -> None:
        self.run, self.missing = run, list[str]()

    def facts(self) -> RunFacts:
        recipe = self._read(lambda: load_yaml(self.run / "recipe.yaml"), self.run / "recipe.yaml") or {}
        results = self._results(recipe)
        metric = results.metric if results else str(recipe.get("evaluate", {}).get("metric", _METRIC))
        models = self._models(results)
        log = self._read(self._log, self.run / "data")
        alike = self._alike(models)
        protocol = next((m.evaluation.protocol for m in alike if m.evaluation), None)
        tested = self._tested(log, alike)
        slices, verdicts = judged(slicings_of(tested) if tested else [], alike, metric)
        return RunFacts(
            place=str(self.run),
            name=str(recipe.get("name", self.run.name)),
            metric=metric,
            models=models,
            verdicts=verdicts,
            notes=results.notes if results else (),
            costs=results.costs if results else None,
            splits=results.splits if results else None,
            data=data_facts(log, recipe) if log else (),
            protocol=protocol,
            slices=slices,
            shown=shown_by(tested, alike, self._vectors(tested[0])) if tested else (),
            samples=samples_of(tested, alike) if tested else (),
            recipe=public_recipe(recipe),
            stages=self._stages(),
            machine=self._read(lambda: machine_of(self.run), self.run / "latency/machine.json"),
            digests=self._read(lambda: digests_of(self.run, protocol), self.run / "run.json") or (),
            missing=self.missing,
        )

    def _read(self, read: Callable[[], T], path: Path) -> T | None:
        """What is read, or nothing where `path` is not there; damage is noted."""
        if not path.exists():
            return None
        try:
            return read()
        except DistilRecError as error:
            self.missing.append(f"{error}.")
            return None

    def _results(self, recipe: Mapping[str, Any]) -> Results | None:
        found = self._read(lambda: Results.load(self.run), self.run / RESULTS)
        if not (self.run / RESULTS).is_file():
            self._unfinished("The run is not finished, so this page shows what there is")
        elif found and recipe.get("also_split") and found.splits is None:
            self._unfinished("The run on the second split is not finished")
        return found

    def _unfinished(self, what: str) -> None:
        self.missing.append(f"{what}. Go on with: distilrec run {self.run / 'recipe.yaml'} --out {self.run}")

    def _alike(self, models: Sequence[Model]) -> list[Model]:
        """The models that may stand beside each other; the others are told."""
        alike = asked_alike(models)
        others = [model.title for model in models if model.evaluation and model not in alike]
        if others:
            self._unfinished(
                f"{capital(', '.join(others))}: not judged on the same cases in the same way as "
                f"{', '.join(model.title for model in alike)}, so groups, verdicts, lists and samples leave them out"
            )
        return alike

    def _tested(self, log: Log | None, alike: Sequence[Model]) -> Log | None:
        """The log, where its test cases are those that models were judged on; it is told where they are not."""
        found = next((model.evaluation for model in alike), None)
        if log is None or found is None or asks(log, found):
            return log
        self._unfinished(
            f"{self.run / 'data'} holds other test cases than those that models were judged on, so groups, lists and "
            "samples are left out"
        )
        return None

    def _log(self) -> Log:
        interactions = Interactions.load(self.run / "data")
        where = self.run / "data/split.json"
        return interactions, split(interactions, parse(SplitSettings, read_json(where), where=str(where)))

    def _stages(self) -> list[Stage]:
        return self._read(lambda: stages_of(self.run), self.run) or []

    def _models(self, results: Results | None) -> list[Model]:
        rows = {row.name: row for row in results.rows} if results else {}
        raw_path = self.run / "latency/milliseconds.json"
        raw: Mapping[str, Any] = self._read(lambda: read_json(raw_path), raw_path) or {}
        places = sorted(path for path in (self.run / "evaluation").glob("*") if path.is_dir())
        others = [path.name for path in places if not is_leftover(path.relative_to(self.run))]
        found = []
        for name in dict.fromkeys([*TITLES, *rows, *others]):
            evaluation = self._evaluation(name)
            row, curves = rows.get(name), self._curves(name)
            if row is None and evaluation is None and not curves:
                continue
            metrics = row.metrics if row else evaluation.summary() if evaluation else {}
            parameters, size = (row.parameters, row.bytes_on_disk) if row else (None, None)
            latency = row.latency if row else self._latency(name)
            found.append(
                Model(
                    name,
                    TITLES.get(name, name),
                    evaluation,
                    metrics,
                    parameters,
                    size,
                    latency,
                    raw.get(name, ()),
                    curves,
                    self._lists(name),
                )
            )
        return found

    def _evaluation(self, name: str) -> Evaluation | None:
        folder = self.run / "evaluation" / name
        return self._read(lambda: Evaluation.load(folder), folder)

    def _lists(self, name: str) -> IntArray | None:
        folder = self.run / "evaluation" / name
        return self._read(lambda: load_lists(folder), folder / LISTS)

    def _vectors(self, interactions: Interactions) -> FloatArray | None:
        """What the encoder made of the items' texts."""
        folder = self.run / "vectors"
        return self._read(lambda: read_vectors(folder, interactions), folder / VECTORS)

    def _latency(self, name: str) -> Latency | None:
        path = self.run / "latency/latency.json"
        held = self._read(lambda: read_json(path), path) or {}
        return Latency(**held[name]) if name in held else None

    def _curves(self, name: str) -> list[Curve]:
        """Of the model's trainings, by seed; an ensemble has none of its own."""
        folders = sorted((self.run / name).glob("seed-*"), key=lambda path: (len(path.name), path.name))
        whole = [path for path in folders if not is_leftover(path.relative_to(self.run))]
        places = {path: int(path.name.partition("-")[2]) for path in whole}
        found = []
        for folder, seed in {self.run / name: None, **places}.items():
            training = self._read(partial(read_json, folder / "training.json"), folder / "training.json")
            if training and training.get("epochs"):
                found.append(Curve(seed, training["epochs"], int(training["best_epoch"]) + 1))
        return found
