"""What a knowledge folder holds, in words: lines of text, for whoever prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from distilrec.knowledge.folder import Knowledge
from distilrec.knowledge.labels import BoolArray, Labels, probabilities
from distilrec.knowledge.layout import Column, FactorPart, ListPart, Part, shard_path
from distilrec.knowledge.source import KnowledgeSource
from distilrec.types import Batch, FloatArray

_NEARLY_ONE_HOT, _NEARLY_FLAT = 0.95, 0.98


@dataclass(frozen=True)
class Sharpness:
    """How sure a teacher is."""

    top_probability: float
    """Mean probability of the best item."""
    entropy: float
    """Mean entropy, as a share of the largest that there can be, log N."""


def sharpness(parts: list[Labels], *, n_positions: int, n_items: int) -> Sharpness | None:
    """How sure soft labels are, over the positions that they speak of; None where they speak of none.

    Holds `[P, N]`: give it a sample of a few hundred positions.
    """
    shares, covered = probabilities(parts, n_positions=n_positions, n_items=n_items)
    if not covered.any():
        return None
    known = shares[covered].astype(np.float64)  # [c, N]
    logs = np.log(known, out=np.zeros_like(known), where=known > 0)
    entropy = -(known * logs).sum(axis=1).mean() / np.log(max(n_items, 2))
    return Sharpness(float(known.max(axis=1).mean()), float(entropy))


def warnings_of(found: Sharpness | None) -> list[str]:
    """What to do about soft labels that teach no more than hard ones, or nothing at all."""
    if found is None:
        return []
    if found.top_probability > _NEARLY_ONE_HOT:
        return [
            f"the soft labels are nearly one-hot: the best item has probability {found.top_probability:.3f} on "
            "average, so learnt as probabilities (`alpha` above 0) they teach little more than hard labels: raise the "
            "temperature, or regularise the teacher. Their order teaches as before (`relaxed_ranking`, the default)"
        ]
    if found.entropy > _NEARLY_FLAT:
        return [
            f"the soft labels are nearly flat: their entropy is {found.entropy:.1%} of the largest that there can be, "
            "so they tell items hardly apart. Train the teacher longer; lower the temperature where `alpha` is above 0"
        ]
    return []


def describe_knowledge(knowledge: Knowledge) -> list[str]:
    """What a folder holds: the teacher, what it said, in how many bytes, when, for how long, and on what machine."""
    told = knowledge.manifest
    lines = [
        ("teacher", _listed(told.get("teacher", {}))),
        ("teacher digest", told.get("teacher_digest")),
        ("kinds", ", ".join(told.get("kinds", []))),
        *(("soft labels", _describe_part(part, knowledge)) for part in knowledge.parts),
        ("speaks of", f"{told['windows']:,} windows, {told['positions']:,} positions, {told['n_items']:,} items"),
        ("coverage", _coverage_line(knowledge)),
        *(("column", _describe_column(column, knowledge)) for column in knowledge.columns.values()),
        *(("table", f"{name} {entry['shape']} {entry['dtype']}") for name, entry in told["tables"].items()),
        ("size", _size_line(knowledge)),
        ("made", _made_line(told)),
        *(("warning", warning) for warning in told.get("warnings", [])),
    ]
    return [f"{name:<15} {value}" for name, value in lines if value]


def covered_positions(knowledge: Knowledge) -> BoolArray:
    """Where at least one part says anything, [positions]."""
    lengths = knowledge.table("positions")
    covered = np.zeros(int(lengths.sum()), dtype=np.bool_)
    for part in knowledge.parts:
        if isinstance(part, ListPart):
            covered |= np.concatenate([np.load(path, mmap_mode="r")[:, 0] >= 0 for path in _shards(part, knowledge)])
        elif part.fold is not None:
            covered |= np.repeat(knowledge.table("folds") == part.fold, lengths)
        else:
            covered[:] = True
    return covered


def ten_best(
    source: KnowledgeSource,
    batch: Batch,
    titles: Sequence[str],
    *,
    k: int = 10,
    history: int = 5,
) -> list[str]:
    """For each window of a batch, the end of its history and the teacher's best next items with probabilities.

    Args:
        titles: what each item is called, N of them.
        k: how many items are shown.
        history: how many of the newest items of the history are shown.
    """
    lines = []
    for row in range(len(batch)):
        length = int(batch.lengths[row])
        window = _window(batch, row, length)
        parts = source.soft_labels(window)
        shares, covered = probabilities(parts, n_positions=length, n_items=len(titles))
        items = window.items[0, max(0, length - history) : length]
        number = "" if window.rows is None else f"Window {window.rows[0]}, "
        lines.append(f"{number}{length} items, the newest: {'; '.join(titles[item] for item in items)}")
        chosen = None if window.targets is None else int(window.targets[0, length - 1])
        lines += _best(shares[-1], titles, k, chosen) if covered[-1] else ["   the teacher says nothing here"]
    return lines


def _window(batch: Batch, row: int, length: int) -> Batch:
    one = slice(row, row + 1)
    return Batch(
        batch.items[one, :length],
        batch.lengths[one],
        None if batch.targets is None else batch.targets[one, :length],
        None if batch.rows is None else batch.rows[one],
    )


def _best(shares: FloatArray, titles: Sequence[str], k: int, chosen: int | None) -> Iterator[str]:
    """The items above the rest; those of an even tail are all alike, so none of them is named."""
    order = np.argsort(-shares, kind="stable")[:k]
    named = [int(item) for item in order if shares[item] > shares.min()]
    if not named:
        yield "   all items are equally likely"
    for rank, item in enumerate(named, start=1):
        yield f"  {rank:>2}. {shares[item]:.4f}  {titles[item]}{'  <- came next' if item == chosen else ''}"
    if chosen is not None and chosen not in named:
        yield f"      {shares[chosen]:.4f}  {titles[chosen]}  <- came next"


def _shards(part: ListPart, knowledge: Knowledge) -> list[Any]:
    return [shard_path(knowledge.folder, f"{part.prefix}_items", s["number"]) for s in knowledge.manifest["shards"]]


def _describe_part(part: Part, knowledge: Knowledge) -> str:
    if isinstance(part, FactorPart):
        form = f"{part.column} x {part.table}, the whole catalogue, temperature {part.temperature:g}"
        fold = "" if part.fold is None else f", windows of fold {part.fold}"
        return f"{form}, weight {part.weight:g}{fold}"
    (k,) = knowledge.columns[f"{part.prefix}_items"].shape
    rest = f"the rest as {part.tail} has it" if part.tail in knowledge.manifest["tables"] else "the rest evenly"
    return f"lists of the {k} best items ({part.prefix}), {rest}, weight {part.weight:g}"


def _describe_column(column: Column, knowledge: Knowledge) -> str:
    share = _column_bytes(column, knowledge) / knowledge.manifest["positions"]
    shape = "x".join(map(str, column.shape)) or "1"
    return f"{column.name}: {shape} {column.dtype} a {column.per}, {share:,.1f} bytes a position"


def _column_bytes(column: Column, knowledge: Knowledge) -> int:
    rows = column.rows(knowledge.table("positions"))
    return rows * prod(column.shape) * np.dtype(column.dtype).itemsize


def _coverage_line(knowledge: Knowledge) -> str:
    if not knowledge.parts:
        return ""
    covered = covered_positions(knowledge)
    return f"{int(covered.sum()):,} of {len(covered):,} positions ({covered.mean():.1%})"


def _size_line(knowledge: Knowledge) -> str:
    columns = sum(_column_bytes(column, knowledge) for column in knowledge.columns.values())
    share = columns / knowledge.manifest["positions"]
    return f"{knowledge.size_bytes() / 1e6:,.1f} MB in all, {share:,.1f} bytes a position"


def _made_line(told: dict[str, Any]) -> str:
    machine = f", on {told['machine']}" if "machine" in told else ""
    return f"{told.get('created', 'unknown')}, in {told.get('seconds', 0):,.1f} s{machine}"


def _listed(values: Any) -> str:  # noqa: ANN401  (whatever the teacher said of itself)
    if not isinstance(values, dict):
        return str(values)
    return ", ".join(f"{name} {_listed(value)}" for name, value in values.items() if value is not None)
