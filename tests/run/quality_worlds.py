"""A proof on the small world that is done in a second or two."""

from __future__ import annotations

from typing import Any

from distilrec.config import parse
from distilrec.run.quality.cells import Cell, cells_of
from distilrec.run.quality.proof import Proof
from distilrec.run.quality.settings import QualityRecipe

SHORT = {"epochs": 2, "batch_size": 16}
SOFT = {"distil": {"alpha": 0.5, "start_from_teacher": True}}


def values(**changes: Any) -> dict[str, Any]:
    """A recipe's plain values; its `data` is missing."""
    return {
        "name": "Small world",
        "teacher": {"kind": "ids", "model": {"width": 16, "heads": 1, "max_length": 10}, "train": SHORT},
        "students": {"small": {"model": {"width": 8, "max_length": 10}, "train": SHORT}},
        "knowledge": {"soft_labels": "whole"},
        "methods": {"soft": SOFT},
        "evaluate": {"cutoffs": [5, 10]},
        **changes,
    }


def recipe(**changes: Any) -> QualityRecipe:
    return parse(QualityRecipe, values(**{"data": {"path": "world"}, **changes}))


def student(**changes: Any) -> dict[str, Any]:
    return {"small": {**values()["students"]["small"], **changes}}


def proof_in(small, out, **changes) -> tuple[Proof, list[str]]:
    """A proof on the small world, and what it says."""
    said: list[str] = []
    return Proof(
        recipe(**{"data": {"path": small.folder / "world"}, **changes}), out, say=said.append, quiet=True
    ), said


def all_of(proof: Proof) -> list[Cell]:
    return cells_of(proof.recipe)
