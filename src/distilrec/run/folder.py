"""One run on disk: stages that are finished, stages that can be resumed, and nothing in between.

A stage works in `<name>.partial`, which is renamed to `<name>` when the stage is done. Its key is a digest of its
inputs and settings: a finished stage with the same key is skipped, an unfinished one goes on, and one with another
key is done anew, its old result staying until the new one is there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from distilrec import __version__
from distilrec.artifact import CONFIG
from distilrec.errors import ArtifactError, StorageError
from distilrec.files import OLD, PARTIAL, read_json, sha256_of_file, sha256_of_value, write_json
from distilrec.memory import give_back_freed_memory

_STAGE, _RUN, _LOCK = "stage.json", "run.json", ".lock"
Say = Callable[[str], None]


class FolderBusyError(ArtifactError):
    """Another process works in the folder."""


class RunFolder:
    """A folder that holds one run."""

    def __init__(self, path: Path, *, say: Say) -> None:
        self.path, self._say = path, say

    def claim(self, *, data_digest: str) -> None:
        """Tie the folder to one data set; refuse a folder that holds a run on another, or files that are no run."""
        marker = self.path / _RUN
        if not marker.exists():
            self._refuse_other_files()
            write_json(marker, {"data_digest": data_digest, "distilrec": __version__})
            return
        held = read_json(marker).get("data_digest")
        if held != data_digest:
            raise ArtifactError(
                f"{self.path} holds a run on another data set, or on the same one read with other options (digest "
                f"{str(held)[:12]}, this one is {data_digest[:12]}); give another --out, or delete that folder. "
                "Nothing in it was changed"
            )

    def _refuse_other_files(self) -> None:
        files = self.path.iterdir() if self.path.is_dir() else ()
        other = sorted(file.name for file in files if not file.name.startswith("."))
        if other:
            raise ArtifactError(
                f"{self.path} holds {', '.join(other[:5])}{' ...' if len(other) > 5 else ''} and no run; a run there "
                "could replace them. Give another --out, such as a new folder in it"
            )

    def stage(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """Do a stage unless it is done; return its folder.

        `inputs` are settings and digests that JSON can hold; `work` fills the folder that it is given, and must cope
        with finding there what an interrupted attempt with the same inputs left.
        """
        key = sha256_of_value({"version": __version__, "stage": name, "inputs": inputs})
        done, partial = self.path / name, self.path / f"{name}{PARTIAL}"
        _undo_half_swap(done)
        if _key_of(done) == key:
            self._say(f"{name}: done before, kept")
            return done
        if _key_of(partial) != key:
            _remove(partial)
        if not _is_finished(partial):
            self._work(name, {"key": key, "inputs": inputs}, work, partial)
        _swap(partial, done)
        return done

    def _work(self, name: str, about: dict[str, Any], work: Callable[[Path], None], partial: Path) -> None:
        resumed = partial.exists()
        self._say(f"{name}: {'resumed' if resumed else 'started'}")
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / _STAGE, about)
        began = time.monotonic()
        work(partial)
        give_back_freed_memory()
        seconds = round(time.monotonic() - began, 2)
        write_json(partial / _STAGE, {**about, "seconds": seconds, "resumed": resumed})
        self._say(f"{name}: done in {seconds:.1f} s")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep a second process out of it while the block runs."""
        with _lock_file(self.path) as file:
            try:
                import fcntl
            except ImportError:  # Windows has no such locks; two runs in one folder are then unguarded
                yield
                return
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusyError(
                    f"another process is working in {self.path}; wait for it or give another --out"
                ) from None
            _sweep(self.path)
            yield


def inputs_of_stage(folder: Path) -> Mapping[str, Any]:
    """The settings and digests that a stage was done with; none where no stage made the folder."""
    path = folder / _STAGE
    inputs: Mapping[str, Any] = read_json(path).get("inputs", {}) if path.is_file() else {}
    return inputs


def digest_of_model(artefact: Path) -> str:
    """A digest of the model's settings and, through the digests in its config, of its weights and catalogue.

    What stages that build on a model put among their inputs.
    """
    return sha256_of_file(artefact / CONFIG)


def digest_of_stage(folder: Path) -> str:
    """The key of a finished stage: what other stages that build on it put among their inputs."""
    return str(read_json(folder / _STAGE)["key"])


def seconds_of_stage(folder: Path) -> float:
    """How long a finished stage took, the last time it worked."""
    return float(read_json(folder / _STAGE)["seconds"])


def _lock_file(folder: Path) -> TextIO:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / _LOCK).open("w")
    except (FileExistsError, NotADirectoryError):
        raise ArtifactError(f"{folder} cannot be a run's folder, because a file is in its place") from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}; give another --out") from error


def _key_of(folder: Path) -> str | None:
    path = folder / _STAGE
    return str(read_json(path).get("key")) if path.is_file() else None


def _is_finished(partial: Path) -> bool:
    """Whether a stage was done and killed before it got its name."""
    return (partial / _STAGE).is_file() and "seconds" in read_json(partial / _STAGE)


def _swap(partial: Path, done: Path) -> None:
    """Give new work its name. Killed at any moment, either the old result or the new one is whole."""
    old = _old(done)
    if done.exists():
        done.rename(old)
    partial.rename(done)
    _remove(old)


def _undo_half_swap(done: Path) -> None:
    if not done.exists() and _old(done).exists():
        _old(done).rename(done)
    _remove(_old(done))


def _old(done: Path) -> Path:
    return done.with_name(f"{done.name}{OLD}")


def _remove(folder: Path) -> None:
    """Delete a stage's folder, first what makes it count, so that half of it is never taken for a whole."""
    if folder.exists():
        (folder / _STAGE).unlink(missing_ok=True)
        shutil.rmtree(folder)


def _sweep(folder: Path) -> None:
    """Delete what a process left that was killed in the middle of writing a file."""
    for left in list(folder.rglob(".*.partial")):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)  # it may have been in one of those folders
