"""Taking knowledge out of a teacher, once, onto disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distilrec.data.batches import in_order
from distilrec.errors import SettingsError
from distilrec.knowledge import Column, Knowledge, KnowledgeSource, KnowledgeWriter
from distilrec.knowledge.layout import USER_VECTORS, row_counts, table_path
from distilrec.knowledge.show import Sharpness, sharpness, warnings_of
from distilrec.models.taps import Tap
from distilrec.progress import progress
from distilrec.teach.folds import FoldedTeacher
from distilrec.teach.kept_form import KeptForm, folds_of
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import VectorTeacher
from distilrec.teach.user_vectors import write_user_vectors
from distilrec.types import Batch, IntArray, Ragged, ranges

Array = np.ndarray[Any, Any]
_MEGABYTE = 2**20
_BATCH_WINDOWS = 256
_LOOKED_AT = 64  # windows, for the warnings
_TAIL_POSITIONS, _OF_A_WINDOW = 4096, 8  # that a tail is the mean of, and of one window at most
_LEAST_OF_TAIL = 1e-4  # of an even share


def extract(
    teacher: KnowledgeSource,
    folder: Path,
    *,
    make_batch: Callable[[IntArray], Batch],
    positions: IntArray,
    windows_digest: str,
    n_items: int,
    settings: KnowledgeSettings | None = None,
    about: Mapping[str, Any] | None = None,
    users: Ragged | None = None,
    warnings: Sequence[str] = (),
    most_windows_per_shard: int = 8192,
    quiet: bool = False,
) -> Knowledge:
    """Write what a teacher says about every training position, shard by shard.

    Killed, the same call goes on at the next shard. Several processes may call it for the same folder at once: they
    share the work.

    Args:
        make_batch: gives the batch of chosen training windows (`Windows.batch`).
        positions: how many positions each window has, [windows].
        windows_digest: digest of the windows, kept so that a student on other data refuses this knowledge.
        n_items: size of the catalogue.
        about: more facts for the manifest.
        users: each user's whole training history, for `settings.user_vectors`.
        warnings: what else is to be said of the teacher in the manifest.
        most_windows_per_shard: what is lost at most when a process is killed; fewer where the memory asks for it.
    """
    settings = settings or KnowledgeSettings()
    identity = {
        **(about or {}),
        "teacher_digest": teacher.digest(),
        "windows_digest": windows_digest,
        "settings": settings.model_dump(mode="json", exclude={"source", "memory_mb"}),
    }
    plan = _Plan(teacher, settings, make_batch, positions, n_items)
    writer = KnowledgeWriter(
        folder,
        about=identity,
        positions=positions,
        columns=plan.columns,
        windows_per_shard=min(most_windows_per_shard, plan.windows_per_shard),
    )
    with progress("Extracting knowledge", total=len(positions), start=writer.n_done, quiet=quiet) as advance:
        for number, rows in writer.missing():
            writer.write_shard(number, plan.shard(rows))
            advance(len(rows))
    _write_tables(writer, teacher, plan, users)
    facts = plan.facts()
    facts["warnings"] = [*warnings, *facts.get("warnings", [])]
    return writer.finish(plan.form.parts, n_items=n_items, kinds=plan.kinds(users), facts=facts)


@dataclass
class _Plan:
    """What each position gives: found out by asking about the first window."""

    teacher: KnowledgeSource
    settings: KnowledgeSettings
    make_batch: Callable[[IntArray], Batch]
    positions: IntArray
    n_items: int

    def __post_init__(self) -> None:
        first = self.make_batch(np.zeros(1, dtype=np.int64))
        self.inside = [self._column(tap) for tap in self.settings.taps]
        self.form = KeptForm.of(self.teacher, first, self.settings, self.n_items)
        self.columns = [*self.form.columns, *self.inside]
        if not self.columns:
            raise SettingsError("nothing is to be taken out of the teacher; choose soft_labels, hidden, attention ...")

    def _column(self, tap: Tap) -> Column:
        width = self.teacher.column_width(tap.column)
        if tap.kind == "relation" and width != tap.heads:
            raise SettingsError(
                f"relation_heads is {tap.heads}, but the teacher splits {tap.path} into {width}; open it with as many"
            )
        return Column(tap.column, (width,), self.settings.dtype, tap.per)

    @property
    def _longest(self) -> int:
        return int(self.positions.max(initial=1))

    @property
    def windows_per_shard(self) -> int:
        """As many as half of the memory holds, were all as long as the longest."""
        row = sum(
            (self._longest if c.per == "pair" else 1) * int(np.prod(c.shape, dtype=np.int64)) * 4 for c in self.columns
        )
        return max(1, self.settings.memory_mb * _MEGABYTE // 2 // max(1, row * self._longest))

    @property
    def _batch_positions(self) -> int:
        """As many as a quarter of the memory holds; lists are cut from logits of the whole catalogue."""
        floats = (
            4 * self.n_items
            if self.form.needs_logits
            else 64 * max(64, sum(int(np.prod(c.shape)) for c in self.columns))
        )
        return max(1, self.settings.memory_mb * _MEGABYTE // 4 // (4 * floats))

    def shard(self, rows: IntArray) -> dict[str, Array]:
        """The columns of consecutive windows, worked out shortest window first."""
        lengths = self.positions[rows]
        arrays = {c.name: np.empty((c.rows(lengths), *c.shape), dtype=_working(c.dtype)) for c in self.columns}
        begins = {per: _begins(per, lengths) for per in {c.per for c in self.columns}}
        for chosen in _batches(lengths, self._batch_positions):
            found = self._ask(rows[chosen])
            for column in self.columns:
                starts, counts = begins[column.per]
                arrays[column.name][ranges(starts[chosen], counts[chosen])] = found[column.name]
        return arrays

    def _ask(self, rows: IntArray) -> dict[str, Array]:
        batch = self.make_batch(rows)
        found = {column.name: self.teacher.column(column.name, batch) for column in self.inside}
        if not self.form.parts:
            return found
        n_positions = int(batch.lengths.sum())
        return found | self.form.rows(self.teacher.soft_labels(batch), n_positions, folds_of(self.teacher, rows))

    @property
    def tail_names(self) -> list[str]:
        """Of the tables that `tails` gives."""
        return [] if self.settings.tail == "even" or self.form.k == self.n_items else self.form.tail_names

    def tails(self) -> dict[str, Array]:
        """In which proportions lists leave items out, [N], by a sample that is spread over all windows."""
        counts = np.minimum(self.positions, _OF_A_WINDOW)
        n_windows = min(len(counts), max(1, int(_TAIL_POSITIONS / counts.mean())))
        windows = np.linspace(0, len(counts) - 1, n_windows).astype(np.int64)
        sums: dict[str, Array] = {}
        for chosen in _batches(self.positions[windows], self._batch_positions):
            batch = self.make_batch(windows[chosen])
            folds, positions = folds_of(self.teacher, windows[chosen]), _sampled(batch.lengths)
            for name, found in self.form.tails(self.teacher.soft_labels(batch), positions, folds).items():
                sums[name] = sums.get(name, 0) + found
        return {name: _proportions(found) for name, found in sums.items()}

    def kinds(self, users: Ragged | None) -> list[str]:
        """What the folder holds, in words."""
        kinds = ["soft_labels"] if self.form.parts else []
        kinds += ["lists"] if self.form.beside else []
        kinds += ["item_vectors"] if self.form.tables or self.teacher.item_vectors() is not None else []
        kinds += ["user_vectors"] if users is not None and self.settings.user_vectors else []
        return [*kinds, *(column.name for column in self.inside)]

    def facts(self) -> dict[str, Any]:
        """How sure the teacher is at the beginnings of some windows, and what is to be said of that."""
        if not self.form.parts:
            return {}
        rows = np.unique(np.linspace(0, len(self.positions) - 1, _LOOKED_AT).astype(np.int64))
        found = [sure for row in rows if (sure := self._sharpness(int(row))) is not None]
        if not found:
            return {}
        mean = Sharpness(
            *(float(np.mean([getattr(f, name) for f in found])) for name in ("top_probability", "entropy"))
        )
        return {"sharpness": vars(mean), "warnings": warnings_of(mean)}

    def _sharpness(self, row: int) -> Sharpness | None:
        whole = self.make_batch(np.array([row]))
        length = min(int(whole.lengths[0]), max(1, self.settings.memory_mb * _MEGABYTE // (64 * self.n_items)))
        part = Batch(whole.items[:, :length], np.array([length]), rows=whole.rows)
        return sharpness(self.teacher.soft_labels(part), n_positions=length, n_items=self.n_items)


def _write_tables(writer: KnowledgeWriter, teacher: KnowledgeSource, plan: _Plan, users: Ragged | None) -> None:
    tables = dict(plan.form.tables)
    if isinstance(teacher, FoldedTeacher):
        writer.write_table("folds", teacher.folds, dtype="int16")
    own = teacher.item_vectors()
    if own is not None and not tables:
        tables["item_vectors"] = own
    for name, table in tables.items():
        writer.write_table(name, table, dtype="float32")
    if not all(table_path(writer.folder, name).exists() for name in plan.tail_names):
        for name, table in plan.tails().items():
            writer.write_table(name, table, dtype="float32")
    if plan.settings.user_vectors:
        if users is None or not isinstance(teacher, VectorTeacher):
            raise SettingsError("user vectors need the users' histories and a teacher with history vectors")
        write_user_vectors(table_path(writer.folder, USER_VECTORS), teacher, users, plan.settings.dtype)


def _batches(lengths: IntArray, most_positions: int) -> Iterator[IntArray]:
    """Rows of similar length, at most so many positions together (or one row)."""
    for rows in in_order(lengths, batch_size=_BATCH_WINDOWS):
        size = max(1, most_positions // max(1, int(lengths[rows].max())))
        yield from (rows[start : start + size] for start in range(0, len(rows), size))


def _sampled(lengths: IntArray) -> IntArray:
    """Some positions of each window, evenly spread over it, as numbers of the batch's positions."""
    counts, begins = np.minimum(lengths, _OF_A_WINDOW), np.cumsum(lengths) - lengths
    windows = np.repeat(np.arange(len(lengths)), counts)  # [positions], which window each is of
    middles = 2 * ranges(np.zeros_like(counts), counts) + 1  # of equal shares of a window, in halves of a share
    return np.asarray(begins[windows] + middles * lengths[windows] // (2 * counts[windows]))


def _proportions(found: Array) -> Array:
    """Each item's share of what lists left out where they left it out, made to sum to 1, none of them 0, [N]."""
    shares = np.divide(found[0], found[1], out=np.zeros_like(found[0]), where=found[1] > 0)
    total = shares.sum()
    shares = np.maximum(shares / total if total > 0 else shares, _LEAST_OF_TAIL / len(shares))
    return np.asarray(shares / shares.sum())


def _begins(per: str, lengths: IntArray) -> tuple[IntArray, IntArray]:
    """Where each window's rows begin in a column of this kind, and how many there are."""
    counts = row_counts(per, lengths)
    return np.cumsum(counts) - counts, counts


def _working(dtype: str) -> str:
    """Floats are checked for overflow before they are made small."""
    return "float32" if dtype == "float16" else dtype
