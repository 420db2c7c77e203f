"""Filling a knowledge folder shard by shard, by one process or several, going on where a killed one stopped."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from distilrec.errors import KnowledgeError
from distilrec.files import read_json, sha256_of_arrays, sha256_of_file, sha256_of_value, write_json
from distilrec.knowledge.folder import Knowledge
from distilrec.knowledge.layout import (
    BEGUN,
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    POSITIONS,
    Column,
    Part,
    Shard,
    describe,
    save_array,
    shard_path,
    table_path,
)
from distilrec.types import IntArray

_POLL_SECONDS = 0.2
_SIZE = "windows_per_shard"


class KnowledgeWriter:
    """A knowledge folder in the making.

    Every file is complete or absent, and the manifest comes last. Several processes may fill one folder, on one machine
    or on several that share a disk with file locks: each shard is locked while it is worked on, and the lock of a
    process that dies is free again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        about: Mapping[str, Any],
        positions: IntArray,
        columns: Sequence[Column],
        windows_per_shard: int = 8192,
    ) -> None:
        """Start, join or go on.

        Args:
            about: what identifies the work (teacher, its digest, data digests); other `about`, other knowledge.
            positions: how many positions each training window has, [windows].
            columns: what each shard holds.
            windows_per_shard: of a new extraction; one that is gone on with keeps its own, so that no shard is lost.
        """
        if windows_per_shard < 1:
            raise KnowledgeError(f"windows_per_shard is {windows_per_shard}; expected at least 1")
        self.folder, self._about, self._columns = folder, dict(about), list(columns)
        self._positions = np.asarray(positions, dtype=np.int64)
        self._windows_per_shard = windows_per_shard
        self._began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".begin.lock"):
            self._begin()
        self._starts = list(range(0, len(positions), self._windows_per_shard))

    def _begin(self) -> None:
        work = {
            "about": sha256_of_value(self._about),
            "positions": sha256_of_arrays({POSITIONS: self._positions}),
            "columns": [vars(column) | {"shape": list(column.shape)} for column in self._columns],
            _SIZE: self._windows_per_shard,
        }
        begun, arrays = (self.folder / BEGUN).exists(), sorted(self.folder.glob("*.npy"))
        held = read_json(self.folder / BEGUN) if begun else {}
        if begun and held == {**work, _SIZE: held.get(_SIZE)}:
            self._windows_per_shard = int(held[_SIZE])
            return
        if arrays and not begun:
            raise KnowledgeError(
                f"{self.folder} also holds {arrays[0].name}, which knowledge there would delete; name another folder"
            )
        for stale in [self.folder / MANIFEST, *arrays]:  # what says "finished" goes first, what says "ours" last
            stale.unlink(missing_ok=True)
        write_json(self.folder / BEGUN, work)

    @property
    def n_done(self) -> int:
        """Windows whose shards are written."""
        return int(sum(len(self.windows(n)) for n in range(len(self._starts)) if self._is_done(n)))

    def windows(self, number: int) -> IntArray:
        """The window rows of a shard."""
        start = self._starts[number]
        return np.arange(start, min(start + self._windows_per_shard, len(self._positions)))

    def missing(self) -> Iterator[tuple[int, IntArray]]:
        """Shards still to be written, each with its window rows and locked until the next is asked for.

        A shard that another process works on is passed over; `finish` waits for it.
        """
        for number in range(len(self._starts)):
            if not self._is_done(number):
                with _lock_if_free(self._lock_path(number)) as locked:
                    if locked and not self._is_done(number):
                        yield number, self.windows(number)

    def write_shard(self, number: int, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write one shard's columns; NaN and wrong shapes are refused before anything is written."""
        lengths = self._positions[self.windows(number)]
        if set(arrays) != {column.name for column in self._columns}:
            raise KnowledgeError(
                f"shard {number} has {', '.join(sorted(arrays))}; expected {', '.join(c.name for c in self._columns)}"
            )
        for column in self._columns:
            expected = (column.rows(lengths), *column.shape)
            if arrays[column.name].shape != expected:
                raise KnowledgeError(
                    f"{column.name} of shard {number} has shape {arrays[column.name].shape}; expected {expected}"
                )
        for column in self._columns:
            path = shard_path(self.folder, column.name, number)
            save_array(path, arrays[column.name], f"{column.name} of shard {number}", dtype=column.dtype)

    def write_table(self, name: str, array: np.ndarray[Any, Any], *, dtype: str | None = None) -> None:
        """Write an array that does not grow with the positions."""
        save_array(table_path(self.folder, name), array, f"the table {name}", dtype=dtype)

    def finish(
        self, parts: Sequence[Part], *, n_items: int, kinds: Sequence[str], facts: Mapping[str, Any] | None = None
    ) -> Knowledge:
        """Wait for other processes' shards, write the manifest, and open the result.

        Raises:
            KnowledgeError: a shard is missing and nobody works on it.
        """
        for number in range(len(self._starts)):
            self._wait_for(number)
        with _locked(self.folder / ".begin.lock"):
            save_array(table_path(self.folder, POSITIONS), self._positions, "the positions")
            write_json(self.folder / MANIFEST, self._manifest(parts, n_items, kinds, facts or {}))
        halves = [path for column in self._columns for path in self.folder.glob(f".{column.name}-*.partial")]
        for left in [*self.folder.glob(".*.lock"), *halves]:  # by processes that were killed
            left.unlink(missing_ok=True)
        return Knowledge.open(self.folder)

    def _manifest(
        self, parts: Sequence[Part], n_items: int, kinds: Sequence[str], facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        tables = {}
        shard_files = {shard_path(self.folder, c.name, n).name for c in self._columns for n in range(len(self._starts))}
        for path in sorted(self.folder.glob("*.npy")):
            if path.name not in shard_files:
                array = np.load(path, mmap_mode="r")
                tables[path.stem] = {
                    "shape": list(array.shape),
                    "dtype": str(array.dtype),
                    "sha256": sha256_of_file(path),
                }
        return {
            **self._about,
            **facts,
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kinds": list(kinds),
            "n_items": n_items,
            "windows": len(self._positions),
            "positions": int(self._positions.sum()),
            "columns": [vars(column) | {"shape": list(column.shape)} for column in self._columns],
            "tables": tables,
            "parts": [describe(part) for part in parts],
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(time.monotonic() - self._began, 1),
            "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
            "shards": [vars(self._describe(number)) for number in range(len(self._starts))],
        }

    def _describe(self, number: int) -> Shard:
        rows = self.windows(number)
        digests = {c.name: sha256_of_file(shard_path(self.folder, c.name, number)) for c in self._columns}
        return Shard(number, int(rows[0]), len(rows), int(self._positions[rows].sum()), digests)

    def _is_done(self, number: int) -> bool:
        return all(shard_path(self.folder, column.name, number).exists() for column in self._columns)

    def _wait_for(self, number: int) -> None:
        while not self._is_done(number):
            with _lock_if_free(self._lock_path(number)) as locked:
                if locked and not self._is_done(number):
                    raise KnowledgeError(f"shard {number} of {self.folder} is missing; go on with the extraction first")
            time.sleep(_POLL_SECONDS)

    def _lock_path(self, number: int) -> Path:
        return self.folder / f".shard-{number:05d}.lock"


@contextmanager
def _lock_if_free(path: Path) -> Iterator[bool]:
    """Whether the lock was free; held while the block runs. Without file locks (Windows) it always seems free."""
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:
            yield True
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait for a lock and hold it while the block runs."""
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
