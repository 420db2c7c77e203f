"""Files that are either whole or absent, and the digests that tell one content from another."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import ArtifactError, DistilRecError, StorageError

PARTIAL, OLD = ".partial", ".old"
"""How the names of folders end that are not done yet, and of those that were replaced."""
_CHUNK_BYTES = 1 << 20


def is_leftover(path: Path) -> bool:
    """Whether a path, as seen from the folder that is looked into, is of nothing finished: half of it, or replaced.

    Both stay beside what is finished when a process is killed, until the same work is asked for again.
    """
    return any(part.endswith((PARTIAL, OLD)) for part in path.parts)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file or make a folder at; renamed when the block ends well.

    When the block fails, nothing is left behind and an older `path` stays as it was. A folder that already
    exists is replaced.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _replace(temporary, path)
    except DistilRecError:
        raise
    except Exception as error:  # polars, safetensors and numpy each have their own words for a full disk
        if _means_full_disk(error):
            raise StorageError(f"no space left on the disk while writing {path}. {_WHAT_TO_DO}") from error
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise StorageError(f"{path} cannot be written: {error.strerror}") from error
        raise
    finally:
        _remove(temporary)


_WHAT_TO_DO = "What was finished before is kept; free some space and run the same command again."
_SAYS_FULL_DISK = re.compile(r"No space left on device|Disk quota exceeded|\d+ requested and \d+ written")


def _means_full_disk(error: Exception) -> bool:
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or _SAYS_FULL_DISK.search(str(error)) is not None


def _replace(temporary: Path, path: Path) -> None:
    for file in sorted(temporary.rglob("*")) if temporary.is_dir() else [temporary]:
        if file.is_file():
            _sync(file)  # a rename may reach the disk before the content does
    if temporary.is_dir() and path.exists():
        _swap_folder(temporary, path)
    else:
        temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _swap_folder(temporary: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
    path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401  (anything JSON holds)
    """Write JSON that a person can read; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds a {type(value).__name__}; expected an object")
    return value


def sha256_of_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_arrays(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hexadecimal SHA-256 of named arrays: names, types, shapes and bytes all count."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")  # unlike ascontiguousarray, keeps a scalar a scalar
        assert not array.dtype.hasobject, f"{name} holds Python objects, whose bytes are addresses"
        digest.update(f"{name}:{array.dtype.str}:{array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def sha256_of_value(value: Any) -> str:  # noqa: ANN401  (anything JSON holds)
    """Hexadecimal SHA-256 of a plain value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of every file below a folder."""
    if path.is_file():
        return path.stat().st_size
    if not path.is_dir():
        raise ArtifactError(f"{path} does not exist, so it has no size")
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
