"""Compressed models side by side: bytes, time, energy and quality; at 100,000 items time and energy alone.

    python benchmarks/compress.py runs/beauty --max-size 1MB --max-loss 1% --encoder runs/teachers/beauty/vectors

The search is that of `distilrec compress`, kept in RUN/compressed: what was tried before is not tried again. Quality is
that of validation; test is looked at once, for the chosen point.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from distilrec.cli.show import print_table
from distilrec.cli.show_compressed import show_found, show_test
from distilrec.compress.budget import budget_from
from distilrec.compress.ladder import ladder
from distilrec.compress.methods import compress
from distilrec.files import read_json
from distilrec.models.kinds import rebuild
from distilrec.recommender import POPULARITY_COLUMN, Recommender
from distilrec.run.exporting import ExportSettings, export
from distilrec.seeding import generator
from distilrec.tune.compression import Found, Search, requests_of, search
from distilrec.tune.costs import Requests, measure
from distilrec.tune.shipping import judge_once, ship
from distilrec.tune.subject import Subject, subject_of

_TABLES = ("table.weight", "inputs.weight")
_TIMED = ("half precision", "int8", "int4 table", "codebooks")
_FLAT, _SCANNED = "float32, every item scored", "float32, scanned"


def main() -> None:
    """Search, print the table, then the larger catalogue, then the teacher beside it."""
    told = _arguments()
    subject = subject_of(told.run, epochs=told.epochs)
    if told.large_alone:
        large_catalogue(subject, told.items)
        return
    budget = budget_from(size=told.max_size, latency_ms=None, energy=None, loss=told.max_loss)
    found = search(subject, told.run / "compressed", Search(budget, everything=told.all, trainings=told.trainings))
    ship(found, subject)
    show_found(found)
    show_test(*judge_once(found, subject))
    if told.items:
        large_catalogue(subject, told.items)
    beside_teacher(told.run, told.encoder, found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/demo"), help="a finished run of distilrec run")
    parser.add_argument("--max-size", default=None, help="of the budget, such as 1MB")
    parser.add_argument("--max-loss", default="1%", help="of the budget")
    parser.add_argument("--epochs", type=int, default=None, help="of each training")
    parser.add_argument("--trainings", type=int, default=None, help="at most how many points are trained")
    parser.add_argument("--all", action="store_true", help="train every point")
    parser.add_argument("--large-alone", action="store_true", help="nothing but the larger catalogue")
    parser.add_argument("--items", type=int, default=100_000, help="of the larger catalogue; 0 leaves it out")
    parser.add_argument("--encoder", type=Path, help="the folder of distilrec encode, where the run itself has none")
    return parser.parse_args()


def large_catalogue(subject: Subject, n_items: int) -> None:
    """Time and energy of a catalogue as large as told: float32 as others serve it and as we do, then smaller forms."""
    print(f"\n{n_items:,} items: the student's table and made-up rows; one thread, histories of validation users")
    large = padded(subject.recommender, n_items)
    plain = {_FLAT: large, _SCANNED: large}
    plain |= {
        rung.name: compress(large, rung.untrained().methods)
        for rung in ladder(large)
        if not rung.shapes and rung.name.startswith(_TIMED)
    }
    requests = requests_of(subject, Search(budget_from(size="1B", latency_ms=None, energy=None, loss=None)).energy)
    with tempfile.TemporaryDirectory() as folder:
        costs = _costs(plain, Path(folder), requests)
    print_table(
        ["form", "ms/request", "99 %", "of flat", "of ours", "J per 1,000", "of flat", "of ours"],
        [[name, *_shares(cost, costs)] for name, cost in costs.items()],
    )
    print(f"Of flat: beside {_FLAT}. Of ours: beside {_SCANNED}, by the index that serves the other forms too.")


def _shares(cost: Mapping[str, str], costs: Mapping[str, Mapping[str, str]]) -> list[str]:
    cells = []
    for name in ("latency_ms", "energy_joules"):
        value = float(cost[name])
        cells.append(f"{value:.3f}")
        cells += [f"{float(cost['latency_p99_ms']):.3f}"] if name == "latency_ms" else []
        cells += [f"{value / float(costs[beside][name]):.2f}" for beside in (_FLAT, _SCANNED)]
    return cells


def _costs(models: Mapping[str, Recommender], folder: Path, requests: Requests) -> dict[str, dict[str, str]]:
    served = {}
    for name, model in models.items():
        model.save_pretrained(folder / "saved" / name)
        settings = ExportSettings(all_in_one=False, histories=len(requests.rows))
        export(folder / "saved" / name, folder / "served" / name, settings, histories=requests.rows)
        served[name] = folder / "served" / name
    found = measure(served, requests, flat=[_FLAT])
    return {name: {key: str(value) for key, value in cost.items()} for name, cost in found.items()}


def padded(recommender: Recommender, n_items: int) -> Recommender:
    """The same model with made-up items after its own: their vectors are those of drawn items, with some noise."""
    more, draw = n_items - recommender.n_items, generator(0, "made-up items")
    state = recommender.model.state()
    for name in [name for name in _TABLES if name in state]:
        rows = state[name][draw.integers(0, recommender.n_items, more)]
        noise = draw.standard_normal(rows.shape, dtype=np.float32) * state[name].std()
        state[name] = np.concatenate([state[name], rows + 0.5 * noise])
    ids = recommender.items["item_id"]
    made_up = pl.Series("item_id", [f"made up {row}" for row in range(more)])
    if ids.dtype.is_integer():
        made_up = pl.Series("item_id", range(int(ids.max()) + 1, int(ids.max()) + 1 + more), dtype=ids.dtype)  # type: ignore[arg-type]
    counts = recommender.items[POPULARITY_COLUMN]
    zeros = pl.zeros(more, dtype=counts.dtype, eager=True).alias(POPULARITY_COLUMN)
    items = pl.concat([recommender.items.select("item_id", POPULARITY_COLUMN), pl.DataFrame([made_up, zeros])])
    model = recommender.model
    return Recommender(rebuild(model.kind, model.settings.model_dump(mode="json"), state), items)


def beside_teacher(run: Path, encoder: Path | None, found: Found) -> None:
    """The teacher as it would be shipped, its language model included, against the chosen point's bytes."""
    rows = {row["name"]: row for row in read_json(run / "results.json")["rows"]}
    if "teacher" not in rows:
        print("\nThe run has no teacher of its own.")
        return
    size, chosen = int(rows["teacher"]["bytes_on_disk"]), found.choice.nearest
    if encoder is not None:
        size += int(read_json(encoder / "encoder.json")["bytes"])
    whole, weights = size / chosen.size_bytes, size / chosen.weights_bytes
    print(
        f"\nTeacher as shipped: {size:,} bytes; {chosen.name}: {chosen.size_bytes:,} bytes, {whole:.0f} times smaller; "
        f"its arrays alone {chosen.weights_bytes:,}, {weights:.0f} times."
    )


if __name__ == "__main__":
    main()
