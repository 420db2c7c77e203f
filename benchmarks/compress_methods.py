"""What each method of compression costs in quality, on the distilled student of a finished run; validation alone.

Each row is kept in a file of its own, so that a second call goes on where the first was stopped:

    python benchmarks/compress_methods.py runs/beauty --out runs/compress-methods

Rows that are trained learn what the student itself said before, or, with `--teacher run`, what the run's teacher says.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilrec.compress.methods import Retraining, compress, settings_of, trains
from distilrec.compress.steps import packed_of
from distilrec.config import Settings, parse
from distilrec.evaluate.compare import compare
from distilrec.evaluate.evaluation import Evaluation
from distilrec.files import read_json, write_json
from distilrec.knowledge import Knowledge
from distilrec.recommender import Recommender
from distilrec.run.recipe import Recipe, load_recipe
from distilrec.run.stages import Prepared, judge, load_prepared, validator

Plan = Sequence[Mapping[str, Any]]
LAYERS = {"kind": "quantise", "table": None}
BY_16 = {"form": "int4", "group": 16}


@dataclass(frozen=True)
class Row:
    """One row of the table: what is done, and how long what is trained is trained."""

    plan: Plan
    epochs: int = 3
    learning_rate: float = 3e-4  # along a cosine; from 1e-3 a finished student first forgets what it knew

    @property
    def methods(self) -> list[Settings]:
        """The settings of what is done, in turn."""
        return [parse(settings_of(step["kind"]), step) for step in self.plan]


ROWS: Mapping[str, Row] = {
    "trained again, not compressed": Row([{"kind": "retrain"}]),
    "int8 everywhere": Row([{"kind": "quantise"}]),
    "int4 table": Row([{"kind": "quantise", "table": "int4"}]),
    "int4 table, in training": Row([{"kind": "quantise_aware"}]),
    "int4 table by 16 columns": Row([{"kind": "quantise", "table": BY_16}]),
    "int4 table by 16 columns, in training": Row([{"kind": "quantise_aware", "table": BY_16}]),
    "codebooks of 8 bytes, all items alike": Row([{"kind": "codebooks", "popularity": 0, "retrain": False}, LAYERS]),
    "codebooks of 8 bytes, not trained": Row([{"kind": "codebooks", "retrain": False}, LAYERS]),
    "codebooks of 8 bytes": Row([{"kind": "codebooks"}, LAYERS], 5, 1e-3),
    "codebooks of 8 bytes, codes kept": Row([{"kind": "codebooks", "reassign": False}, LAYERS], 5, 1e-3),
    "codebooks of 16 bytes, not trained": Row([{"kind": "codebooks", "codes": 16, "retrain": False}, LAYERS]),
    "codebooks of 16 bytes": Row([{"kind": "codebooks", "codes": 16}, LAYERS], 3, 1e-3),
    "half of the hidden units": Row([{"kind": "prune_units"}]),
    "half of the hidden units, not trained": Row([{"kind": "prune_units", "retrain": False}]),
    "half of the weights, not trained": Row([{"kind": "prune_weights", "retrain": False}]),
    "half of the weights": Row([{"kind": "prune_weights"}]),
    "rank 32, not trained": Row([{"kind": "low_rank", "rank": 32, "retrain": False}]),
    "rank 32": Row([{"kind": "low_rank", "rank": 32}], 6, 2e-3),
    "width 32, not trained": Row([{"kind": "prune_width", "width": 32, "retrain": False}]),
    "width 32": Row([{"kind": "prune_width", "width": 32}], 6, 2e-3),
    "half of the items share means of 256 clusters, not trained": Row([{"kind": "prune_items", "retrain": False}]),
    "half of the items share means of 256 clusters": Row([{"kind": "prune_items"}]),
    "hashed, 2,048 rows": Row([{"kind": "hashed", "buckets": 2048}], 6, 2e-3),
    "quotient and remainder, 256 remainders": Row([{"kind": "quotient_remainder", "buckets": 256}], 6, 2e-3),
}


def main() -> None:
    """Fill the rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run of distilrec run")
    parser.add_argument("--out", type=Path, default=Path("runs/compress-methods"))
    parser.add_argument("--teacher", default="itself", choices=["itself", "run"], help="of rows that are trained")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS), metavar="ROW", help="which")
    told = parser.parse_args()
    recipe = load_recipe(told.run / "recipe.yaml")
    prepared = load_prepared(told.run / "data")
    first = Recommender.from_pretrained(told.run / "artefact")
    whole = judge(first, prepared, recipe.evaluate, on="validation")
    print(f"{packed_of(first).nbytes():,} bytes of weights, validation NDCG@10 {whole.mean('ndcg@10'):.5f}")
    for name in told.rows:
        by_run = told.teacher == "run" and any(map(trains, ROWS[name].methods))
        path = told.out / f"{name}{' by the run' if by_run else ''}.json"
        if not path.exists():
            training = retraining(told.run, recipe, prepared, ROWS[name], told.out, by_run=by_run)
            write_json(path, measured(first, ROWS[name].methods, training, prepared, recipe, whole))
        print(line(path.stem, read_json(path)), flush=True)


def retraining(run: Path, recipe: Recipe, prepared: Prepared, row: Row, out: Path, *, by_run: bool) -> Retraining:
    """As the student of a run was trained, for fewer epochs."""
    train = recipe.student.train.with_changes(
        epochs=row.epochs, patience=row.epochs, learning_rate=row.learning_rate, schedule="cosine"
    )
    return Retraining(
        prepared.split.train,
        validator(prepared, recipe.evaluate),
        train,
        knowledge=Knowledge.open(run / "knowledge") if by_run else "itself",
        distil=recipe.distil if by_run else None,
        quiet=False,
        checkpoints=out / "checkpoints",
    )


def measured(
    first: Recommender,
    methods: Sequence[Settings],
    training: Retraining,
    prepared: Prepared,
    recipe: Recipe,
    whole: Evaluation,
) -> dict[str, Any]:
    """One row: bytes of the weights as a share of the first's, quality and how sure it is that it differs."""
    began = time.monotonic()
    small = compress(first, methods, training)
    found = judge(small, prepared, recipe.evaluate, on="validation")
    paired = compare(found, whole)
    return {
        "plan": [settings.model_dump(mode="json") for settings in methods],
        "bytes": packed_of(small).nbytes(),
        "share": packed_of(small).nbytes() / packed_of(first).nbytes(),
        "ndcg@10": found.mean("ndcg@10"),
        "change": found.mean("ndcg@10") / whole.mean("ndcg@10") - 1,
        "low": paired.result.low / whole.mean("ndcg@10"),
        "high": paired.result.high / whole.mean("ndcg@10"),
        "seconds": time.monotonic() - began,
    }


def line(name: str, row: Mapping[str, Any]) -> str:
    """One line of the table, in Markdown."""
    changes = " | ".join(f"{100 * row[key]:+.1f} %" for key in ("change", "low", "high"))
    size = f"{row['bytes']:,} | {row['share']:.3f}"
    return f"| {name} | {size} | {row['ndcg@10']:.5f} | {changes} | {row['seconds']:.0f} s |"


if __name__ == "__main__":
    main()
