"""Taking knowledge out of a teacher, once, onto disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distilrec.data.batches import in_order
from distilrec.errors import SettingsError
from distilrec.files import atomic_path
from distilrec.knowledge import (
    Column,
    FactorLabels,
    FactorPart,
    Knowledge,
    KnowledgeSource,
    KnowledgeWriter,
    Labels,
    ListLabels,
    ListPart,
)
from distilrec.knowledge.labels import to_lists
from distilrec.knowledge.layout import Part, table_path
from distilrec.knowledge.show import Sharpness, sharpness, warnings_of
from distilrec.models.taps import Tap, Taps, tapped
from distilrec.progress import progress
from distilrec.teach.folds import FoldedTeacher
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import VectorTeacher
from distilrec.types import Batch, IntArray, Ragged, ranges

Array = np.ndarray[Any, Any]
_MEGABYTE = 2**20
_BATCH_WINDOWS = 256
_LOOKED_AT = 64  # windows, for the warnings


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
    with _looking_into(teacher, settings) as taps:
        plan = _Plan(teacher, settings, taps, make_batch, positions, n_items)
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
        return writer.finish(plan.parts, n_items=n_items, kinds=plan.kinds(users), facts=facts)


@contextmanager
def _looking_into(teacher: KnowledgeSource, settings: KnowledgeSettings) -> Iterator[Taps]:
    taps = [
        *(Tap("hidden", path) for path in settings.hidden),
        *(Tap("attention", path) for path in settings.attention),
        *(Tap("relation", path, settings.relation_heads) for path in settings.relations),
    ]
    if taps and not isinstance(teacher, VectorTeacher):
        raise SettingsError("hidden states, attention and relations can be taken from one network alone, not from this")
    module = teacher.module if isinstance(teacher, VectorTeacher) else None
    with tapped(module, taps) if module is not None else nullcontext(Taps(())) as found:
        yield found


@dataclass
class _Plan:
    """What each position gives: found out by asking about the first window."""

    teacher: KnowledgeSource
    settings: KnowledgeSettings
    taps: Taps
    make_batch: Callable[[IntArray], Batch]
    positions: IntArray
    n_items: int

    def __post_init__(self) -> None:
        self._k = min(self.settings.top_k, self.n_items)
        first = self.make_batch(np.zeros(1, dtype=np.int64))
        labels = self._labels(self.teacher.soft_labels(first), int(first.lengths.sum()))
        folds = len(self.teacher.teachers) if isinstance(self.teacher, FoldedTeacher) else None
        self.parts, self.tables, label_columns = _layout(labels, self.settings, self._k, self.n_items, folds=folds)
        self.columns = [*label_columns, *self._tapped_columns()]
        if not self.columns:
            raise SettingsError("nothing is to be taken out of the teacher; choose soft_labels, hidden, attention ...")
        self._wide = any(isinstance(part, ListPart) for part in self.parts)

    def _tapped_columns(self) -> list[Column]:
        return [
            Column(tap.column, (value.shape[2 if tap.kind == "hidden" else 1],), self.settings.dtype, tap.per)
            for tap, value in self.taps.caught.items()
        ]

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
        floats = 4 * self.n_items if self._wide else 64 * max(64, sum(int(np.prod(c.shape)) for c in self.columns))
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
        labels = self._labels(self.teacher.soft_labels(batch), int(batch.lengths.sum()))
        found: dict[str, Array] = {n: v.float().cpu().numpy() for n, v in self.taps.rows(batch).items()}
        for part, said in zip(self.parts, labels, strict=True):
            if isinstance(part, ListPart) and isinstance(said, ListLabels):
                names = [f"{part.prefix}_{name}" for name in ("items", "logits", "log_sums")]
                found |= dict(zip(names, (said.items, said.logits, said.log_sums), strict=True))
            elif isinstance(part, FactorPart) and isinstance(said, FactorLabels) and said.rows is None:
                found[part.column] = said.history_vectors
            elif isinstance(part, FactorPart) and isinstance(said, FactorLabels):
                width = said.item_vectors.shape[1]
                whole = found.setdefault(part.column, np.empty((int(batch.lengths.sum()), width), dtype=np.float32))
                whole[said.rows] = said.history_vectors
        return found

    def _labels(self, said: list[Labels], n_positions: int) -> list[Labels]:
        """In the form that is kept."""
        if self.settings.soft_labels == "none":
            return []
        if self.settings.soft_labels == "top":
            return [_best(said, self._k, n_positions, self.n_items)]
        return [_kept(part, self._k, n_positions, self.n_items) for part in said]

    def kinds(self, users: Ragged | None) -> list[str]:
        """What the folder holds, in words."""
        kinds = ["soft_labels"] if self.parts else []
        kinds += ["item_vectors"] if self.tables or self.teacher.item_vectors() is not None else []
        kinds += ["user_vectors"] if users is not None and self.settings.user_vectors else []
        return [*kinds, *(tap.column for tap in self.taps.taps)]

    def facts(self) -> dict[str, Any]:
        """How sure the teacher is at the beginnings of some windows, and what is to be said of that."""
        if not self.parts:
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


def _layout(
    labels: Sequence[Labels], settings: KnowledgeSettings, k: int, n_items: int, *, folds: int | None
) -> tuple[list[Part], dict[str, Array], list[Column]]:
    """Parts, tables and columns for labels of these forms; the teachers of all folds share columns."""
    parts: list[Part] = []
    tables: dict[str, Array] = {}
    columns: list[Column] = []
    of_one_fold = len(labels) // (folds or 1)
    for number, part in enumerate(labels):
        suffix = "" if len(labels) == 1 else f"_{number}"
        if isinstance(part, FactorLabels):
            fold, member = divmod(number, of_one_fold) if folds else (None, number)
            column = f"history_vectors_{member}" if of_one_fold > 1 else "history_vectors"
            table = f"item_vectors{suffix}"
            parts.append(FactorPart(column, table, weight=part.weight, temperature=part.temperature, fold=fold))
            tables[table] = part.item_vectors
            columns += [Column(column, (part.item_vectors.shape[1],), settings.dtype)] if not fold else []
        else:
            lists = ListPart(f"top{suffix}", weight=part.weight)
            parts.append(lists)
            columns += lists.columns(k, n_items, settings.dtype)
    return parts, tables, columns


def _kept(part: Labels, k: int, n_positions: int, n_items: int) -> Labels:
    return part if isinstance(part, FactorLabels) else _best([part], k, n_positions, n_items, weight=part.weight)


def _best(said: list[Labels], k: int, n_positions: int, n_items: int, *, weight: float = 1.0) -> ListLabels:
    """The best k of each position. One teacher keeps its own logits; a mixture gets the logarithms of its mean."""
    part = said[0]
    if len(said) > 1 or isinstance(part, ListLabels) or part.rows is not None:
        return to_lists(said, k=k, n_positions=n_positions, n_items=n_items)
    if isinstance(part, FactorLabels):
        logits = torch.from_numpy(part.history_vectors) @ torch.from_numpy(part.item_vectors).T  # [P, N]
    else:
        logits = torch.from_numpy(np.asarray(part.logits, dtype=np.float32))
    logits = logits / part.temperature if part.temperature != 1 else logits
    values, items = torch.topk(logits, k, dim=1)
    return ListLabels(items.numpy(), values.numpy(), torch.logsumexp(logits, dim=1).numpy(), weight=weight)


def _write_tables(writer: KnowledgeWriter, teacher: KnowledgeSource, plan: _Plan, users: Ragged | None) -> None:
    tables = dict(plan.tables)
    if isinstance(teacher, FoldedTeacher):
        writer.write_table("folds", teacher.folds, dtype="int16")
    own = teacher.item_vectors()
    if own is not None and not tables:
        tables["item_vectors"] = own
    for name, table in tables.items():
        writer.write_table(name, table, dtype="float32")
    if plan.settings.user_vectors:
        if users is None or not isinstance(teacher, VectorTeacher):
            raise SettingsError("user vectors need the users' histories and a teacher with history vectors")
        _write_user_vectors(table_path(writer.folder, "user_vectors"), teacher, users, plan.settings.dtype)


def _write_user_vectors(path: Path, teacher: VectorTeacher, users: Ragged, dtype: str) -> None:
    """Straight to disk, so that memory does not grow with the users; zeros for a user without history."""
    width = teacher.item_vectors().shape[1]
    limit = int(teacher.module.max_length)  # type: ignore[arg-type]
    with atomic_path(path) as temporary:
        table = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=(len(users), width))
        for rows in in_order(users.lengths, batch_size=_BATCH_WINDOWS):
            known = rows[users.lengths[rows] > 0]
            if len(known):
                batch = Batch.of(list(users.take(known)), max_length=limit)
                vectors = teacher.history_vectors(batch)
                table[known] = vectors[np.cumsum(batch.lengths) - 1]
        table.flush()


def _batches(lengths: IntArray, most_positions: int) -> Iterator[IntArray]:
    """Rows of similar length, at most so many positions together (or one row)."""
    for rows in in_order(lengths, batch_size=_BATCH_WINDOWS):
        size = max(1, most_positions // max(1, int(lengths[rows].max())))
        yield from (rows[start : start + size] for start in range(0, len(rows), size))


def _begins(per: str, lengths: IntArray) -> tuple[IntArray, IntArray]:
    """Where each window's rows begin in a column of this kind, and how many there are."""
    counts = {"window": np.ones_like(lengths), "pair": lengths**2, "position": lengths}[per]
    return np.cumsum(counts) - counts, counts


def _working(dtype: str) -> str:
    """Floats are checked for overflow before they are made small."""
    return "float32" if dtype == "float16" else dtype
