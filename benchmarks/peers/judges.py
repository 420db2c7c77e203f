"""The other libraries as judges: the same scores, each in its own environment, and which of their metrics are ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from environment import HERE, python_of

SAME = {
    "recbole": {"recall": "recall", "ndcg": "ndcg", "hit": "hit_rate", "mrr": "mrr", "precision": "precision"},
    "rectools": {"recall": "recall", "ndcg_achievable": "ndcg", "hit_rate": "hit_rate", "mrr": "mrr", "f1": "f1"},
    "ranx": {"recall": "recall", "ndcg": "ndcg", "hit_rate": "hit_rate", "mrr": "mrr", "f1": "f1"},
}
"""Peer -> its name of a metric -> ours; others mean something else by the name (docs/evaluation.md)."""


def ask(peer: str, place: Path, venvs: Path, options: Sequence[object] = ()) -> dict[str, Any]:
    """What a peer says of the files in a place."""
    out = place / f"{peer}.json"
    command = [python_of(peer, venvs), HERE / f"judge_{peer}.py", place, out, *options]
    subprocess.run(list(map(str, command)), check=True, stderr=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def largest_difference(
    peer: str, theirs: Mapping[str, float], ours: Mapping[str, float], cutoffs: Sequence[int]
) -> float:
    """How far any of its figures is from ours."""
    pairs = [(f"{name}@{k}", f"{mine}@{k}") for name, mine in SAME[peer].items() for k in cutoffs]
    return max(abs(theirs[name] - ours[mine]) for name, mine in pairs)
