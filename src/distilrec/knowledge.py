"""What a teacher said about every training position, on disk.

A folder holds `manifest.json`, `item_vectors.npy` `[N, D]` and shards `history_vectors-00000.npy` `[positions, D]`. A
teacher's logits over the whole catalogue are the product of the two, so soft labels at any temperature cost D numbers
a position instead of N, and nothing is cut off.

Shards are written one by one, each complete or absent, and the manifest comes last: an extraction that was killed goes
on at its next shard.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from distilrec.errors import KnowledgeError
from distilrec.files import (
    atomic_path,
    read_json,
    sha256_of_arrays,
    sha256_of_file,
    sha256_of_value,
    write_json,
)
from distilrec.types import Batch, FloatArray, IntArray

FORMAT_VERSION = 1
_MANIFEST, _BEGUN = "manifest.json", "begun.json"
_ITEM_VECTORS, _POSITIONS, _SHARD = "item_vectors.npy", "positions.npy", "history_vectors-{}.npy"


class KnowledgeSource(Protocol):
    """All that the training loop knows of a teacher: two factors, whose product is its logits."""

    def digest(self) -> str:
        """The same for the same teacher only; a training run that was killed goes on with no other."""
        ...

    def item_vectors(self) -> FloatArray:
        """[N, D_teacher]"""
        ...

    def history_vectors(self, batch: Batch) -> FloatArray:
        """One row for each real position of the batch, in the batch's order, [P, D_teacher]."""
        ...


@dataclass(frozen=True)
class Shard:
    """Consecutive windows kept in one file."""

    file: str
    first_window: int
    windows: int
    positions: int
    sha256: str


class Knowledge:
    """A knowledge folder, opened. Rows are read from disk when they are asked for."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, dict(manifest)
        self._shards = [Shard(**entry) for entry in manifest["shards"]]
        lengths: IntArray = np.load(folder / _POSITIONS)  # [windows]
        self._starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        self._maps = [np.load(folder / shard.file, mmap_mode="r") for shard in self._shards]
        self._first_windows = np.array([shard.first_window for shard in self._shards])
        self._items: FloatArray = np.load(folder / _ITEM_VECTORS)
        _check_shapes(folder, manifest, lengths, [self._items, *self._maps])

    @classmethod
    def open(cls, folder: Path) -> Knowledge:
        """Open a finished folder; sizes are checked now, digests by `verify`."""
        manifest_path = folder / _MANIFEST
        if not manifest_path.is_file():
            raise KnowledgeError(f"{folder} holds no {_MANIFEST}; it is not a finished knowledge folder")
        manifest = read_json(manifest_path)
        if manifest.get("format_version") != FORMAT_VERSION:
            raise KnowledgeError(
                f"{manifest_path} has format version {manifest.get('format_version')!r}; "
                f"this DistilRec reads version {FORMAT_VERSION}. Extract it again or use another version"
            )
        try:
            return cls(folder, manifest)
        except FileNotFoundError as error:
            raise KnowledgeError(f"{error.filename} is missing; extract the knowledge again") from None
        except KnowledgeError:
            raise
        except (KeyError, TypeError, ValueError, EOFError) as error:
            raise KnowledgeError(f"{folder} is damaged ({error}). Extract the knowledge again") from None

    def digest(self) -> str:
        """Digest of the digests of all that the teacher said."""
        return sha256_of_value([self.manifest["item_vectors_sha256"], *(shard.sha256 for shard in self._shards)])

    @property
    def n_items(self) -> int:
        """Items that the teacher ranks, N."""
        return len(self._items)

    def item_vectors(self) -> FloatArray:
        """The teacher's item table, [N, D_teacher]."""
        return self._items

    def history_vectors(self, batch: Batch) -> FloatArray:
        """The teacher's vectors for the real positions of a batch of training windows, [P, D_teacher]."""
        if batch.rows is None:
            raise KnowledgeError("the batch does not say which training windows it holds; take it from Windows.batch")
        found = [self._window(int(row)) for row in batch.rows]
        return np.concatenate(found) if found else self._items[:0]

    def _window(self, row: int) -> FloatArray:
        if not 0 <= row < len(self._starts) - 1:
            raise KnowledgeError(f"window {row} is not in {self.folder}, which covers {len(self._starts) - 1} windows")
        index = int(np.searchsorted(self._first_windows, row, side="right")) - 1
        offset = self._starts[self._first_windows[index]]
        part: FloatArray = self._maps[index][self._starts[row] - offset : self._starts[row + 1] - offset]
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

    def verify(self) -> list[str]:
        """Problems found by reading every file and comparing digests; empty when all is well."""
        files = {
            _ITEM_VECTORS: self.manifest["item_vectors_sha256"],
            _POSITIONS: self.manifest["positions_sha256"],
            **{s.file: s.sha256 for s in self._shards},
        }
        return [
            f"{self.folder / name}: its SHA-256 is not the one in the manifest; the file was altered or damaged"
            for name, expected in files.items()
            if sha256_of_file(self.folder / name) != expected
        ]


class KnowledgeWriter:
    """Fills a knowledge folder shard by shard, going on where an earlier, killed run of the same work stopped."""

    def __init__(
        self, folder: Path, *, about: Mapping[str, Any], positions: IntArray, windows_per_shard: int = 8192
    ) -> None:
        """Start or go on.

        Args:
            about: what identifies the work (teacher, its digest, data digests); other `about`, other knowledge.
            positions: how many positions each training window has, [windows].
        """
        self.folder, self._about, self._positions = folder, dict(about), np.asarray(positions, dtype=np.int64)
        self._starts = list(range(0, len(positions), windows_per_shard))
        self._windows_per_shard = windows_per_shard
        self._began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        work = {
            "about": sha256_of_value(self._about),
            "positions": sha256_of_arrays({"positions": self._positions}),
            "windows_per_shard": windows_per_shard,
        }
        if not (folder / _BEGUN).exists() or read_json(folder / _BEGUN) != work:
            for stale in [_MANIFEST, _BEGUN, _ITEM_VECTORS, _POSITIONS]:  # the manifest first: it says "finished"
                (folder / stale).unlink(missing_ok=True)
            for shard in folder.glob(_SHARD.format("*")):
                shard.unlink()
            write_json(folder / _BEGUN, work)

    def missing(self) -> Iterator[tuple[int, IntArray]]:
        """Shard numbers still to be written, each with its window rows."""
        for number, start in enumerate(self._starts):
            if not self._shard_path(number).exists():
                yield number, np.arange(start, min(start + self._windows_per_shard, len(self._positions)))

    def write_shard(self, number: int, history_vectors: FloatArray) -> None:
        """Write one shard; NaN and a wrong number of rows are refused."""
        start = self._starts[number]
        expected = int(self._positions[start : start + self._windows_per_shard].sum())
        if history_vectors.ndim != 2 or len(history_vectors) != expected:
            raise KnowledgeError(f"shard {number} has shape {history_vectors.shape}; expected ({expected}, width)")
        _save(self._shard_path(number), history_vectors, f"shard {number}")

    def finish(self, item_vectors: FloatArray) -> Knowledge:
        """Write the item table and the manifest, and open the result."""
        _save(self.folder / _ITEM_VECTORS, item_vectors, "the item table")
        _save(self.folder / _POSITIONS, self._positions, "the positions")
        shards = [self._describe(number) for number in range(len(self._starts))]
        manifest = {
            **self._about,
            "format": "distilrec-knowledge",
            "format_version": FORMAT_VERSION,
            "kinds": ["soft_labels"],
            "n_items": len(item_vectors),
            "width": item_vectors.shape[1],
            "dtype": str(item_vectors.dtype),
            "windows": len(self._positions),
            "positions": int(self._positions.sum()),
            "item_vectors_sha256": sha256_of_file(self.folder / _ITEM_VECTORS),
            "positions_sha256": sha256_of_file(self.folder / _POSITIONS),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(time.monotonic() - self._began, 1),
            "shards": [vars(shard) for shard in shards],
        }
        write_json(self.folder / _MANIFEST, manifest)
        return Knowledge.open(self.folder)

    def _describe(self, number: int) -> Shard:
        start, path = self._starts[number], self._shard_path(number)
        lengths = self._positions[start : start + self._windows_per_shard]
        return Shard(path.name, start, len(lengths), int(lengths.sum()), sha256_of_file(path))

    def _shard_path(self, number: int) -> Path:
        return self.folder / _SHARD.format(f"{number:05d}")


def _save(path: Path, array: np.ndarray[Any, Any], what: str) -> None:
    if not np.isfinite(array).all():
        raise KnowledgeError(f"{what} holds NaN or infinity; the teacher is broken, so nothing can be learnt from it")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _check_shapes(
    folder: Path, manifest: Mapping[str, Any], lengths: IntArray, tables: Sequence[np.ndarray[Any, Any]]
) -> None:
    """Refuse files whose shapes are not those in the manifest; `tables` are the item table and the shards."""
    rows = {_ITEM_VECTORS: manifest["n_items"], **{s["file"]: s["positions"] for s in manifest["shards"]}}
    found = {_POSITIONS: lengths.shape, **{name: table.shape for name, table in zip(rows, tables, strict=True)}}
    expected = {_POSITIONS: (manifest["windows"],), **{name: (n, manifest["width"]) for name, n in rows.items()}}
    for name, shape in expected.items():
        if found[name] != shape:
            raise KnowledgeError(
                f"{folder / name} has shape {found[name]}; its manifest says {shape}. Extract the knowledge again"
            )
