"""What a run found, as one object that the table, the model card and the JSON file are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from distilrec.artifact import artifact_size_bytes
from distilrec.errors import ArtifactError
from distilrec.evaluate.bootstrap import Interval
from distilrec.evaluate.compare import compare, metric_title
from distilrec.evaluate.cost import NO_COSTS, CostTable
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import read_json, write_json, write_text
from distilrec.latency import Latency
from distilrec.run.splits import BothSplits

if TYPE_CHECKING:  # it loads torch
    from distilrec.run.recipe import Recipe

RESULTS = "results.json"
TITLES = {
    "popularity": "popularity",
    "item_knn": "item-kNN",
    "ease": "EASE",
    "student_alone": "student alone",
    "teacher": "teacher",
    "distilled": "distilled student",
}
_TRAINED = ("teacher", "student_alone", "distilled")


@dataclass(frozen=True)
class Row:
    """One model of the table."""

    name: str
    metrics: dict[str, Interval]
    parameters: int
    bytes_on_disk: int
    latency: Latency


@dataclass(frozen=True)
class Results:
    """What a run found."""

    rows: list[Row]
    metric: str
    verdicts: list[str]
    """Whether the distilled student differs from the student alone, and from the teacher."""
    notes: list[str]
    protocol: dict[str, Any]
    epochs: dict[str, list[int]]
    """For each trained model the epoch, from 1, whose weights were kept; one a seed."""
    costs: CostTable | None = None
    """What models cost to serve beside time; none where it was not measured."""
    splits: BothSplits | None = None
    """What a second split says of the same models, where the recipe names one."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def save(self, run: Path) -> None:
        """Write them into a run's folder, for programs and for people."""
        write_json(run / RESULTS, self.as_json())
        write_text(run / "results.md", self.markdown())

    @classmethod
    def load(cls, run: Path) -> Self:
        """Read back what a run left in its folder."""
        path = run / RESULTS
        held = read_json(path)
        try:
            rows = [
                Row(
                    name=row["name"],
                    metrics={name: Interval(**interval) for name, interval in row["metrics"].items()},
                    parameters=row["parameters"],
                    bytes_on_disk=row["bytes_on_disk"],
                    latency=Latency(**row["latency"]),
                )
                for row in held["rows"]
            ]
            told = {name: held[name] for name in ("metric", "verdicts", "notes", "protocol", "epochs")}
            told["costs"] = CostTable.read(held["costs"]) if held.get("costs") else None
            told["splits"] = BothSplits.read(held["splits"]) if held.get("splits") else None
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{path} lacks or mistakes {error}; run the recipe again to write it anew") from None
        return cls(rows, **told)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Heading and rows of the table, as text."""
        columns = dict.fromkeys((self.metric, "recall@10", "mrr"))
        shown = [name for name in columns if name in self.rows[0].metrics]
        head = [
            "model",
            *(f"{metric_title(name)} [95 %]" for name in shown),
            "parameters",
            "bytes on disk",
            "ms/request",
        ]
        body = [
            [
                TITLES.get(row.name, row.name),
                *(row.metrics[name].cell() for name in shown),
                f"{row.parameters:,}",
                f"{row.bytes_on_disk:,}",
                f"{row.latency.p50:.2f}",
            ]
            for row in self.rows
        ]
        return head, body

    def markdown(self) -> str:
        """The table and the verdict for a card or a page."""
        told = [_table(*self.cells()), *self.verdicts, *self.notes]
        told += [_table(*self.costs.cells()), self.costs.note] if self.costs else [NO_COSTS]
        if self.splits is not None:
            told += [_table(*self.splits.cells()), *self.splits.sentences, self.splits.note]
        return "\n\n".join(told) + "\n"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def gather_results(
    recipe: Recipe,
    evaluations: Mapping[str, Path],
    artefacts: Mapping[str, list[Path]],
    latencies: Mapping[str, Latency],
    costs: CostTable | None,
    *,
    encoder: Mapping[str, Any] | None,
) -> Results:
    """Read what the stages left.

    Args:
        costs: what models cost to serve, where it was measured.
        evaluations: name of a model -> folder of its evaluation.
        artefacts: name of a model -> artefact folders, one a seed; sizes are the first one's.
        encoder: facts about the teacher's encoder, whose parameters and bytes count as the teacher's, if it has one.
    """
    found = {name: Evaluation.load(folder) for name, folder in evaluations.items()}
    rows = [_row(name, found[name], artefacts[name][0], latencies[name], encoder) for name in TITLES if name in found]
    alone, distilled = found["student_alone"], found["distilled"]
    against = compare(
        distilled, alone, metric=recipe.evaluate.metric, names=("the distilled student", "the student alone")
    )
    verdicts = [against]
    if "teacher" in found:
        names = ("the distilled student", "the teacher")
        verdicts.append(compare(distilled, found["teacher"], metric=recipe.evaluate.metric, names=names))
    trained = {name: [_kept_epoch(path.parent) for path in artefacts[name]] for name in _TRAINED if name in artefacts}
    sentences = [f"{_capital(comparison.sentence())}." for comparison in verdicts]
    notes = [*_seeds(recipe, evaluations), *_notes(recipe, alone, encoder)]
    return Results(rows, recipe.evaluate.metric, sentences, notes, alone.protocol, trained, costs)


def _row(name: str, found: Evaluation, artefact: Path, latency: Latency, encoder: Mapping[str, Any] | None) -> Row:
    parameters = int(read_json(artefact / "config.json")["n_parameters"])
    size = artifact_size_bytes(artefact)
    if name == "teacher" and encoder is not None:
        parameters, size = parameters + int(encoder["parameters"]), size + int(encoder["bytes"])
    return Row(name, found.summary(), parameters, size, latency)


def _seeds(recipe: Recipe, evaluations: Mapping[str, Path]) -> list[str]:
    """What each seed gave, since the intervals are over users and do not tell."""
    if len(recipe.seeds) == 1:
        return []
    told = []
    for name in ("student_alone", "distilled"):
        means = [f"{seed[recipe.evaluate.metric]:.4f}" for seed in read_json(evaluations[name] / "seeds.json")["means"]]
        told.append(f"{TITLES[name]} {', '.join(means)}")
    seeds = ", ".join(str(seed) for seed in recipe.seeds)
    return [f"{metric_title(recipe.evaluate.metric)} of seeds {seeds}: {'; '.join(told)}."]


def _notes(recipe: Recipe, found: Evaluation, encoder: Mapping[str, Any] | None) -> list[str]:
    protocol = found.protocol
    history = "left out" if protocol["exclude_history"] else "not left out"
    seeds = f"mean of {len(recipe.seeds)} seeds for the students" if len(recipe.seeds) > 1 else "one seed"
    return [
        f"Protocol: {recipe.data.split.kind} split, test cases of {len(found.per_user):,} users, full ranking of "
        f"{protocol['n_items']:,} items, items of the history {history}, ties {protocol['ties']}; {seeds}; intervals "
        "by bootstrap over users.",
        *_encoder_note(encoder),
        f"Milliseconds: median of {recipe.evaluate.latency_requests} requests on one thread, from outside ids to ten "
        "ranked ids.",
    ]


def _encoder_note(encoder: Mapping[str, Any] | None) -> list[str]:
    if encoder is None:
        return []
    return [
        f"The teacher's parameters and bytes include its encoder ({encoder['model']}, {encoder['parameters']:,} "
        "parameters), which no saved model needs at request time."
    ]


def _kept_epoch(folder: Path) -> int:
    return int(read_json(folder / "training.json")["best_epoch"]) + 1


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
