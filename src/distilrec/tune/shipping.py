"""What a search leaves: its figures, its plot, the chosen artefact with a card, and test figures where asked for."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from distilrec.card import write_card
from distilrec.compress.frontier import LEVEL, frontier
from distilrec.compress.ladder import FIRST
from distilrec.compress.told import PLOT, cells, markdown
from distilrec.errors import MissingExtraError
from distilrec.evaluate.compare import Comparison, compare
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.verdicts import NonInferiority, both_verdicts
from distilrec.files import sha256_of_file, write_json, write_text
from distilrec.recommender import Recommender
from distilrec.run.folder import RunFolder, Say
from distilrec.run.stages import judge
from distilrec.tune.compression import Found
from distilrec.tune.plot import plot_frontier
from distilrec.tune.subject import Subject


def ship(found: Found, subject: Subject, *, say: Say = print) -> None:
    """Write `compression.json`, `compression.md`, `frontier.png`, and the chosen model to `artefact`."""
    write_json(found.folder / "compression.json", _as_json(found))
    write_text(found.folder / "compression.md", page(found))
    try:
        plot_frontier(found, found.folder / PLOT)
    except MissingExtraError as error:
        say(f"no plot: {error}")
    if found.choice.point is None:
        return
    small = Recommender.from_pretrained(found.artefacts[found.choice.point.name])
    history = ", ".join(repr(item) for item in small.items["item_id"].head(3))
    title = f"{subject.recommender.model.kind}, compressed: {found.choice.point.name}"
    card = write_card(small.config(), title=title, example=history, sections={"Compression": page(found)})
    small.save_pretrained(found.folder / "artefact", card=card)


def page(found: Found) -> str:
    """The table, the choice and what was left out, in Markdown."""
    parts = [markdown(*cells(found.points, found.budget, found.choice)), *found.choice.why, found.note]
    if found.left_out:
        parts += ["Left out:", "\n".join(f"- {name}: {why}" for name, why in found.left_out.items())]
    return "\n\n".join(parts) + "\n"


def judge_once(found: Found, subject: Subject) -> tuple[Comparison, NonInferiority | None]:
    """The chosen point (the nearest, where none was chosen) beside the uncompressed student on test; kept.

    Where the budget limits the loss, the test is asked too whether it loses no more than that.
    """
    chosen = found.choice.nearest
    folder = RunFolder(found.folder, say=_silent)
    evaluations = []
    for name in (chosen.name, FIRST):
        artefact = found.artefacts[name]

        def work(place: Path, artefact: Path = artefact) -> None:
            judge(Recommender.from_pretrained(artefact), subject.prepared, subject.evaluate).save(place)

        inputs: dict[str, Any] = {
            "model": sha256_of_file(artefact / "config.json"),
            "data": subject.prepared.interactions.digest(),
            **subject.evaluate.model_dump(mode="json", include={"cutoffs", "exclude_history"}),
        }
        slug = "chosen" if name == chosen.name and name != FIRST else "uncompressed"
        evaluations.append(Evaluation.load(folder.stage(f"test/{slug}", inputs, work)))
    ours, first = evaluations
    metric, names, margin = subject.evaluate.metric, (chosen.name, "the uncompressed student"), found.budget.loss
    if not margin:
        return compare(ours, first, metric=metric, names=names, level=LEVEL), None
    return both_verdicts(ours, first, metric=metric, margin=margin, names=names, level=LEVEL)


def _as_json(found: Found) -> dict[str, Any]:
    return {
        "budget": found.budget.model_dump(mode="json"),
        "chosen": found.choice.point.name if found.choice.point else None,
        "nearest": found.choice.nearest.name,
        "why": list(found.choice.why),
        "frontier": [point.name for point in frontier(found.points)],
        "points": [asdict(point) for point in found.points],
        "artefacts": {name: str(path.relative_to(found.folder)) for name, path in found.artefacts.items()},
        "costs": {name: asdict(cost) for name, cost in found.costs.items()},
        "left_out": found.left_out,
        "machine": found.machine,
    }


def _silent(_: str) -> None:
    """Says nothing."""
