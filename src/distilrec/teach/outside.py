"""Knowledge from outside: ranked lists of any other library or language-model service, as a knowledge folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrec.data.batches import Windows
from distilrec.data.interactions import Interactions
from distilrec.data.split import Split
from distilrec.errors import KnowledgeError
from distilrec.files import sha256_of_arrays, sha256_of_file, sha256_of_value
from distilrec.knowledge import Knowledge, KnowledgeWriter, ListLabels, ListPart
from distilrec.knowledge.show import sharpness, warnings_of
from distilrec.teach.outside_lists import Counts, Rankings, RankingSettings, read_rankings
from distilrec.types import FloatArray, IntArray, Ragged, ranges

_SHARD_CELLS = 1 << 23  # list entries that are held at once
_SAMPLE_LISTS, _SAMPLE_CELLS = 256, 1 << 24
_HITS_BY_CHANCE = 10  # so many are expected before their absence means something


@dataclass(frozen=True)
class ImportReport:
    """What was read, and how much of the training data it speaks of."""

    counts: Counts
    lists_without_position: int
    """Lists that speak of no training position: other users, other histories, or events that are held out."""
    positions: int
    positions_covered: int
    users: int
    """With at least one training position."""
    users_covered: int
    next_item_listed: float
    """Share of the covered positions whose list holds the item that came next."""
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The report for a person."""
        read, lost = self.counts, [f"{self.lists_without_position:,} lists speak of no training position"]
        lost += [f"{read.lists_cut:,} lists were cut to their best items"]
        lost += [f"{read.users_unknown:,} users or histories and {read.items_unknown:,} items are unknown; left out"]
        lost += [f"columns that were not used: {', '.join(read.unused_columns)}"]
        counts = (self.lists_without_position, read.lists_cut, read.users_unknown + read.items_unknown)
        return [
            f"{read.rows:,} rows: {read.lists:,} lists of {read.items_known:,} items",
            f"positions with a list: {_share(self.positions_covered, self.positions)}",
            f"users with a list: {_share(self.users_covered, self.users)}",
            f"lists that hold the item that came next: {self.next_item_listed:.1%}",
            *(line for line, count in zip(lost, [*counts, len(read.unused_columns)], strict=True) if count),
            *(f"Warning: {warning}" for warning in self.warnings),
        ]


def import_rankings(
    path: Path,
    folder: Path,
    *,
    interactions: Interactions,
    split: Split,
    max_length: int,
    settings: RankingSettings | None = None,
    item_vectors: FloatArray | None = None,
) -> tuple[Knowledge, ImportReport]:
    """Turn a file of ranked lists into knowledge of the training positions; docs/knowledge.md has the file's form.

    A user's list without `after` speaks of every training position of that user, as the lists of collaborative
    filtering do: it tells what the user likes, and the order is left to the hard labels. One with `after` speaks of
    the position that has seen so many of the user's training events. A history speaks of every position before which
    these are the newest `max_length` items. A position that no list speaks of has an empty one.

    It fails quietly where the lists leave out what a user already has, as many libraries do by default: then they never
    name the item that came next. The report says how often they do.

    Args:
        max_length: positions of a training window; the student's.
        item_vectors: `[N, F]`, kept beside the lists for a student's table to start from.

    Raises:
        DataError: the file is missing, empty, or not of its format.
        KnowledgeError: its content can not be used, or speaks of no training position.
    """
    settings = settings or RankingSettings()
    if item_vectors is not None and len(item_vectors) != interactions.n_items:
        raise KnowledgeError(
            f"item_vectors has {len(item_vectors):,} rows; expected {interactions.n_items:,}, one an item"
        )
    rankings = read_rankings(path, interactions, settings)
    windows = Windows.cut(split.train, max_length=max_length)
    events = split.train.offsets[windows.owners] + windows.begins
    events = ranges(events, windows.positions)  # [positions], the newest event that each has seen
    found = _lists_of_events(rankings, split, interactions.n_users, max_length)[events]  # [positions], -1 for none
    if not (found >= 0).any():
        raise KnowledgeError(
            f"{path} speaks of no training position: {rankings.counts.lists:,} lists, "
            f"{rankings.counts.users_known:,} users known. Check that it was made from this data's training events"
        )
    report = _report(rankings, found, split.train, events, interactions.n_items)
    about = {
        "teacher": {"kind": "outside", "file": path.name, "settings": settings.model_dump(mode="json")},
        "teacher_digest": _digest(path, settings, item_vectors),
        "windows_digest": windows.digest(),
        "data_digest": interactions.digest(),
        "catalogue_digest": interactions.item_ids_digest(),
        "max_length": max_length,
    }
    writer = _writer(folder, about, windows, rankings, interactions.n_items)
    _write(writer, rankings, found, windows)
    if item_vectors is not None:
        writer.write_table("item_vectors", item_vectors)
    kinds = ["soft_labels", *(["item_vectors"] if item_vectors is not None else [])]
    facts = {"import": asdict(report), "warnings": list(report.warnings)}
    return writer.finish([ListPart()], n_items=interactions.n_items, kinds=kinds, facts=facts), report


def _lists_of_events(rankings: Rankings, split: Split, n_users: int, max_length: int) -> IntArray:
    """Which list speaks of the position that has seen the training events up to each, [E]; -1 for none."""
    if rankings.histories is not None:
        found = _by_history(rankings.histories, split.train, max_length)
    else:
        found = _by_user(rankings, split, n_users)
    empty = rankings.items[:, 0] < 0  # [R], lists whose items are all unknown
    found[empty[found]] = -1
    return found


def _by_user(rankings: Rankings, split: Split, n_users: int) -> IntArray:
    sequences = np.full(n_users, -1, dtype=np.int64)
    sequences[split.train_users] = np.arange(len(split.train))
    lists = np.flatnonzero(rankings.users >= 0)
    lists = lists[sequences[rankings.users[lists]] >= 0]
    owners, after = sequences[rankings.users[lists]], rankings.after[lists]
    whole = np.full(len(split.train), -1, dtype=np.int64)
    whole[owners[after < 0]] = lists[after < 0]
    found = np.repeat(whole, split.train.lengths)
    placed = (after >= 1) & (after <= split.train.lengths[owners])
    found[split.train.offsets[owners[placed]] + after[placed] - 1] = lists[placed]  # one place wins over all
    return found


def _by_history(histories: Ragged, train: Ragged, max_length: int) -> IntArray:
    wanted = {row[-max_length:].tobytes(): number for number, row in enumerate(histories) if len(row)}
    width, content = train.values.itemsize, train.values.tobytes()
    ends = np.arange(1, len(train.values) + 1)
    begins = np.maximum(np.repeat(train.offsets[:-1], train.lengths), ends - max_length)
    spans = zip((begins * width).tolist(), (ends * width).tolist(), strict=True)
    return np.fromiter((wanted.get(content[b:e], -1) for b, e in spans), dtype=np.int64, count=len(ends))


def _report(rankings: Rankings, found: IntArray, train: Ragged, events: IntArray, n_items: int) -> ImportReport:
    covered = found >= 0
    owners = np.repeat(np.arange(len(train)), train.lengths)[events]
    listed = _next_listed(rankings, found[covered], train.values[events[covered] + 1])
    used = np.unique(found[covered])
    report = ImportReport(
        counts=rankings.counts,
        lists_without_position=len(rankings) - len(used),
        positions=len(found),
        positions_covered=int(covered.sum()),
        users=len(np.unique(owners)),
        users_covered=len(np.unique(owners[covered])),
        next_item_listed=round(float(listed.mean()), 6),
    )
    warnings = _warnings(rankings, found[covered], used, listed, n_items)
    return ImportReport(**{**vars(report), "warnings": tuple(warnings)})


def _next_listed(rankings: Rankings, found: IntArray, targets: IntArray) -> NDArray[np.bool_]:
    """Whether the list of each position holds the item that came next."""
    step = max(1, _SHARD_CELLS // rankings.items.shape[1])
    chunks = [slice(start, start + step) for start in range(0, len(found), step)]
    return np.concatenate([(rankings.items[found[c]] == targets[c, None]).any(axis=1) for c in chunks])


def _warnings(
    rankings: Rankings, found: IntArray, used: IntArray, listed: NDArray[np.bool_], n_items: int
) -> Sequence[str]:
    sample = used[:: max(1, -(-len(used) // max(1, min(_SAMPLE_LISTS, _SAMPLE_CELLS // n_items))))]
    lists = ListLabels(rankings.items[sample], rankings.logits[sample], np.zeros(len(sample), dtype=np.float32))
    said = warnings_of(sharpness([lists], n_positions=len(sample), n_items=n_items))
    by_chance = float((rankings.items[found] >= 0).sum()) / n_items
    if not listed.any() and by_chance >= _HITS_BY_CHANCE:
        said = [
            *said,
            f"no list holds the item that came next, at any of {len(found):,} positions (by chance about "
            f"{by_chance:,.0f} would). It seems that items of a user's history were left out; ask for lists with them",
        ]
    return said


def _writer(
    folder: Path, about: Mapping[str, Any], windows: Windows, rankings: Rankings, n_items: int
) -> KnowledgeWriter:
    """Shards hold equally many entries of lists at most, were all windows as long as the longest."""
    width = rankings.items.shape[1]
    return KnowledgeWriter(
        folder,
        about=about,
        positions=windows.positions,
        columns=ListPart().columns(width, n_items),
        windows_per_shard=max(1, _SHARD_CELLS // (width * int(windows.positions.max()))),
    )


def _write(writer: KnowledgeWriter, rankings: Rankings, found: IntArray, windows: Windows) -> None:
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(windows.positions)])
    names = [column.name for column in ListPart().columns(1, 1)]
    for number, rows in writer.missing():
        lists = found[starts[rows[0]] : starts[rows[-1] + 1]]  # [P]
        known = (lists >= 0)[:, None]
        items = np.where(known, rankings.items[lists], -1)
        logits = np.where(known, rankings.logits[lists], np.float32(0))
        arrays = (items, logits, np.zeros(len(lists), dtype=np.float32))
        writer.write_shard(number, dict(zip(names, arrays, strict=True)))


def _digest(path: Path, settings: RankingSettings, item_vectors: FloatArray | None) -> str:
    vectors = None if item_vectors is None else sha256_of_arrays({"item_vectors": item_vectors})
    return sha256_of_value([sha256_of_file(path), settings.model_dump(mode="json"), vectors])


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})"
