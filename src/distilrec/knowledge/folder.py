"""What a teacher said about every training position, on disk.

A folder holds `manifest.json`, tables such as `item_vectors.npy` `[N, D]`, and columns in shards such as
`history_vectors-00000.npy` `[positions, D]`. Of whole soft labels a teacher's logits over the catalogue are the product
of those two, at D numbers a position instead of N, and nothing is cut off. Lists, the default, hold its best items.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distilrec.errors import KnowledgeError
from distilrec.files import read_json, sha256_of_file, sha256_of_value
from distilrec.knowledge.labels import FactorLabels, Labels, ListLabels
from distilrec.knowledge.layout import (
    FORMAT_VERSION,
    MANIFEST,
    POSITIONS,
    USER_VECTORS,
    Column,
    FactorPart,
    ListPart,
    Shard,
    part_from,
    shard_path,
    table_path,
)
from distilrec.knowledge.old import upgraded
from distilrec.types import Batch, FloatArray, IntArray

Array = np.ndarray[Any, Any]


class Knowledge:
    """A knowledge folder, opened. Rows are read from disk when they are asked for."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, dict(manifest)
        self.parts = [part_from(entry) for entry in manifest["parts"]]
        self.columns = {c["name"]: Column(**{**c, "shape": tuple(c["shape"])}) for c in manifest["columns"]}
        self._shards = [Shard(**entry) for entry in manifest["shards"]]
        self._tables: dict[str, Array] = {}
        lengths: IntArray = self.table(POSITIONS)  # [windows]
        self._starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        self._first_windows = np.array([shard.first_window for shard in self._shards])
        self._maps = {
            name: [np.load(shard_path(folder, name, s.number), mmap_mode="r") for s in self._shards]
            for name in self.columns
        }
        _check_shapes(self, lengths)

    @classmethod
    def open(cls, folder: Path) -> Knowledge:
        """Open a finished folder; sizes are checked now, digests by `verify`."""
        path = folder / MANIFEST
        if not path.is_file():
            raise KnowledgeError(f"{folder} holds no {MANIFEST}; it is not a finished knowledge folder")
        manifest = read_json(path)
        version = manifest.get("format_version")
        if version not in (1, FORMAT_VERSION):
            raise KnowledgeError(
                f"{path} has format version {version!r}; this DistilRec reads versions 1 to {FORMAT_VERSION}. "
                "Extract it again or use another version"
            )
        try:
            return cls(folder, upgraded(folder, manifest) if version == 1 else manifest)
        except FileNotFoundError as error:
            raise KnowledgeError(f"{error.filename} is missing; extract the knowledge again") from None
        except KnowledgeError:
            raise
        except (KeyError, TypeError, ValueError, EOFError) as error:
            raise KnowledgeError(f"{folder} is damaged ({error}). Extract the knowledge again") from None

    def digest(self) -> str:
        """Digest of the digests of all that the teacher said."""
        tables = {name: entry["sha256"] for name, entry in self.manifest["tables"].items()}
        return sha256_of_value([tables, self.manifest["parts"], [shard.sha256 for shard in self._shards]])

    @property
    def n_items(self) -> int:
        """Items that the teacher ranks, N."""
        return int(self.manifest["n_items"])

    @property
    def n_windows(self) -> int:
        """Training windows that are covered."""
        return len(self._starts) - 1

    def table(self, name: str) -> Array:
        """An array that does not grow with the positions."""
        if name not in self.manifest["tables"]:
            raise KnowledgeError(f"{self.folder} holds no {name}; it holds {', '.join(self.manifest['tables'])}")
        if name not in self._tables:
            self._tables[name] = np.load(table_path(self.folder, name))
        return self._tables[name]

    def item_vectors(self) -> FloatArray | None:
        """The teacher's item table, [N, D_teacher]; of several the first; None where it has none."""
        tables = [part.table for part in self.parts if isinstance(part, FactorPart)]
        known = [name for name in [*tables, "item_vectors"] if name in self.manifest["tables"]]
        return self.table(known[0]) if known else None

    def user_vectors(self) -> FloatArray | None:
        """A row for each training sequence's user, [users, D_teacher]; None where none were kept."""
        return self.table(USER_VECTORS) if USER_VECTORS in self.manifest["tables"] else None

    def soft_labels(self, batch: Batch) -> list[Labels]:
        """What the teacher says about the real positions of a batch of training windows."""
        return [labels for part in self.parts if (labels := self._labels(part, batch)) is not None]

    def lists(self, batch: Batch) -> ListLabels | None:
        """The best items of each position by the whole mixture, if they were kept: alone, or beside the factors."""
        in_mixture = [part for part in self.parts if isinstance(part, ListPart)]
        if len(self.parts) == 1 and in_mixture:
            return self._lists(in_mixture[0], batch)
        beside = ListPart()
        if f"{beside.prefix}_items" in self.columns and all(part.prefix != beside.prefix for part in in_mixture):
            return self._lists(beside, batch)
        return None

    def column_width(self, name: str) -> int:
        """How many numbers a row of a column has."""
        return math.prod(self._known(name).shape)

    def column(self, name: str, batch: Batch) -> Array:
        """A column's rows for a batch of training windows, in the batch's order."""
        return self._rows(self._known(name).name, _window_numbers(batch))

    def _known(self, name: str) -> Column:
        if name not in self.columns:
            raise KnowledgeError(f"{self.folder} holds no column {name}; it holds {', '.join(self.columns)}")
        return self.columns[name]

    def _lists(self, part: ListPart, batch: Batch) -> ListLabels:
        windows = _window_numbers(batch)
        items, logits, log_sums = (self._rows(name, windows) for name in part.names)
        tail = self.table(part.tail) if part.tail in self.manifest["tables"] else None
        return ListLabels(items.astype(np.int64), logits.astype(np.float32), log_sums, weight=part.weight, tail=tail)

    def _labels(self, part: FactorPart | ListPart, batch: Batch) -> Labels | None:
        if isinstance(part, ListPart):
            return self._lists(part, batch)
        windows = _window_numbers(batch)
        rows = None
        if part.fold is not None:
            chosen = self.table("folds")[windows] == part.fold  # [B]
            windows, rows = windows[chosen], np.flatnonzero(np.repeat(chosen, batch.lengths))
            if not len(windows):
                return None
        return FactorLabels(
            self._rows(part.column, windows), self.table(part.table), rows, part.weight, part.temperature
        )

    def _rows(self, column: str, windows: IntArray) -> Array:
        found = [self._window(column, int(row)) for row in windows]
        return np.concatenate(found) if found else self._maps[column][0][:0]

    def _window(self, column: str, row: int) -> Array:
        if not 0 <= row < self.n_windows:
            raise KnowledgeError(f"window {row} is not in {self.folder}, which covers {self.n_windows} windows")
        index = int(np.searchsorted(self._first_windows, row, side="right")) - 1
        first = self._first_windows[index]
        if self.columns[column].per == "window":
            begin, end = row - first, row - first + 1
        elif self.columns[column].per == "pair":
            squares = np.diff(self._starts[first : row + 2]) ** 2
            begin, end = squares[:-1].sum(), squares.sum()
        else:
            begin, end = self._starts[row] - self._starts[first], self._starts[row + 1] - self._starts[first]
        part: Array = self._maps[column][index][begin:end]
        return part

    def check_belongs(self, *, windows_digest: str, n_items: int) -> None:
        """Refuse knowledge of other training windows or of another catalogue."""
        if self.manifest["windows_digest"] != windows_digest:
            raise KnowledgeError(
                f"{self.folder} was extracted from other training windows "
                f"(digest {self.manifest['windows_digest'][:12]}, these are {windows_digest[:12]}): "
                "other data, another split or another max_length. Extract it again"
            )
        if self.n_items != n_items:
            raise KnowledgeError(f"{self.folder} ranks {self.n_items} items; this catalogue has {n_items}")

    def check_catalogue(self, catalogue_digest: str) -> None:
        """Refuse knowledge of a catalogue with other items, or the same ones in another order."""
        held = self.manifest.get("catalogue_digest")
        if held is not None and held != catalogue_digest:
            raise KnowledgeError(
                f"{self.folder} is of another catalogue (digest {str(held)[:12]}, this one is "
                f"{catalogue_digest[:12]}), so its rows are other items. Extract it again from this data"
            )

    def verify(self) -> list[str]:
        """Problems found by reading every file and comparing digests; empty when all is well."""
        return [
            f"{path}: its SHA-256 is not the one in the manifest; the file was altered or damaged"
            for path, expected in self._files()
            if sha256_of_file(path) != expected
        ]

    def _files(self) -> Iterator[tuple[Path, str]]:
        for name, entry in self.manifest["tables"].items():
            yield table_path(self.folder, name), entry["sha256"]
        for shard in self._shards:
            for column, digest in shard.sha256.items():
                yield shard_path(self.folder, column, shard.number), digest

    def size_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(path.stat().st_size for path, _ in self._files())


def _window_numbers(batch: Batch) -> IntArray:
    if batch.rows is None:
        raise KnowledgeError("the batch does not say which training windows it holds; take it from Windows.batch")
    return batch.rows


def _check_shapes(knowledge: Knowledge, lengths: IntArray) -> None:
    """Refuse files whose shapes are not those in the manifest."""
    manifest, folder = knowledge.manifest, knowledge.folder
    found = {name: np.load(table_path(folder, name), mmap_mode="r").shape for name in manifest["tables"]}
    expected = {name: tuple(entry["shape"]) for name, entry in manifest["tables"].items()}
    expected[POSITIONS] = (manifest["windows"],)
    for name, column in knowledge.columns.items():
        for shard, array in zip(knowledge._shards, knowledge._maps[name], strict=True):
            path = shard_path(folder, name, shard.number)
            found[path.name] = array.shape
            inside = lengths[shard.first_window : shard.first_window + shard.windows]
            expected[path.name] = (column.rows(inside), *column.shape)
    for name, shape in expected.items():
        if found[name] != shape:
            raise KnowledgeError(
                f"{folder / name} has shape {found[name]}; its manifest says {shape}. Extract the knowledge again"
            )
