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
from typing import Any

from distilrec import __version__
from distilrec.errors import ArtifactError
from distilrec.files import read_json, sha256_of_value, write_json

_STAGE, _RUN = "stage.json", "run.json"
Say = Callable[[str], None]


class RunFolder:
    """A folder that holds one run."""

    def __init__(self, path: Path, *, say: Say) -> None:
        self.path, self._say = path, say
        path.mkdir(parents=True, exist_ok=True)

    def claim(self, *, data_digest: str) -> None:
        """Tie the folder to one data set; refuse a folder that holds a run on another."""
        marker = self.path / _RUN
        if not marker.exists():
            write_json(marker, {"data_digest": data_digest, "distilrec": __version__})
            return
        held = read_json(marker).get("data_digest")
        if held != data_digest:
            raise ArtifactError(
                f"{self.path} holds a run on another data set (digest {str(held)[:12]}, this one is "
                f"{data_digest[:12]}); give another --out, or delete that folder. Nothing in it was changed"
            )

    def stage(self, name: str, inputs: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """Do a stage unless it is done; return its folder.

        `inputs` are settings and digests that JSON can hold; `work` fills the folder that it is given, and must cope
        with finding there what an interrupted attempt with the same inputs left.
        """
        key = sha256_of_value({"version": __version__, "stage": name, "inputs": inputs})
        done, partial = self.path / name, self.path / f"{name}.partial"
        if _key_of(done) == key:
            self._say(f"{name}: done before, kept")
            return done
        if partial.exists() and _key_of(partial) != key:
            shutil.rmtree(partial)
        resumed = partial.exists()
        self._say(f"{name}: {'resumed' if resumed else 'started'}")
        partial.mkdir(parents=True, exist_ok=True)
        write_json(partial / _STAGE, {"key": key, "inputs": inputs})
        began = time.monotonic()
        work(partial)
        seconds = round(time.monotonic() - began, 2)
        write_json(partial / _STAGE, {"key": key, "inputs": inputs, "seconds": seconds, "resumed": resumed})
        _swap(partial, done)
        self._say(f"{name}: done in {seconds:.1f} s")
        return done

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process out of this folder while the block runs."""
        try:
            import fcntl
        except ImportError:  # Windows has no advisory locks of this kind; two runs in one folder are then unguarded
            yield
            return
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArtifactError(
                    f"another process is working in {self.path}; wait for it or give another --out"
                ) from None
            yield


def digest_of_stage(folder: Path) -> str:
    """The key of a finished stage: what other stages that build on it put among their inputs."""
    return str(read_json(folder / _STAGE)["key"])


def seconds_of_stage(folder: Path) -> float:
    """How long a finished stage took, the last time it worked."""
    return float(read_json(folder / _STAGE)["seconds"])


def _key_of(folder: Path) -> str | None:
    path = folder / _STAGE
    return str(read_json(path).get("key")) if path.is_file() else None


def _swap(partial: Path, done: Path) -> None:
    if done.exists():
        shutil.rmtree(done)
    partial.rename(done)
