"""A model on disk: one folder that holds nothing which could run code.

- `config.json`: the caller's settings, this format's version, the digests of the weights and the catalogue, and where
  the model was compressed, `stored`: the form that each array is stored in (see `distilrec.storage`).
- `model.safetensors`: named arrays; of an array stored in a form, its parts.
- `items.parquet`: the catalogue; row i is the item with row number i.
- `README.md`: the model card, for people and for the Hugging Face hub.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from distilrec.errors import ArtifactError
from distilrec.files import atomic_path, read_json, sha256_of_file, size_bytes, write_json

FORMAT = "distilrec"
FORMAT_VERSION = 2  # written where arrays are stored in forms; version 1 is the same without them
CONFIG, TENSORS, ITEMS, CARD = "config.json", "model.safetensors", "items.parquet", "README.md"
CODES = "codes.safetensors"  # no weights; distilrec.exported puts it beside them

_STORED = "stored"
_OURS = ("format", "format_version", "sha256", _STORED)
_PARTS = (TENSORS, ITEMS, CARD)
_CHECKED = (TENSORS, ITEMS)  # people edit the card
_WEIGHTS_ENDINGS = (
    *(".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"),  # may run code when opened
    *(".gguf", ".h5", ".msgpack", ".npy", ".npz", ".safetensors"),  # may be mistaken for the model
)


@dataclass(frozen=True)
class Artifact:
    """What a model's folder holds."""

    config: dict[str, Any]  # as it was given to write_artifact
    tensors: dict[str, NDArray[Any]]
    items: pl.DataFrame
    card: str
    folder: Path
    stored: dict[str, Any]  # what `Packed.described` said; empty where arrays are plain
    weights_digest: str  # SHA-256 of the file that holds the tensors


def write_artifact(
    folder: Path,
    *,
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    items: pl.DataFrame,
    card: str,
    stored: Mapping[str, Any] | None = None,
) -> None:
    """Write a model's folder, whole or not at all.

    `config` is anything JSON holds; `stored` says in which forms arrays are stored, where they are. An older model in
    `folder` is replaced; other files are never deleted.
    """
    taken = [key for key in _OURS if key in config]
    if taken:
        raise ArtifactError(f"config holds {', '.join(taken)}, which the format sets itself; rename it")
    _refuse_to_delete_other_files(folder)
    with atomic_path(folder) as new:
        new.mkdir()
        (new / TENSORS).write_bytes(_safetensors(tensors))
        (new / ITEMS).write_bytes(_parquet(items))
        (new / CARD).write_text(card, encoding="utf-8", newline="\n")
        digests = {name: sha256_of_file(new / name) for name in _CHECKED}
        version = {"format": FORMAT, "format_version": FORMAT_VERSION if stored else 1}
        forms = {_STORED: dict(stored)} if stored else {}
        write_json(new / CONFIG, {**version, **config, **forms, "sha256": digests})


def read_artifact(folder: Path) -> Artifact:
    """Read a model's folder; weights and catalogue are checked against their digests first."""
    config = _read_config(folder)
    _refuse_other_weights(folder)
    digests = config.get("sha256")
    if not isinstance(digests, dict) or set(digests) != set(_CHECKED):
        raise ArtifactError(f"{folder / CONFIG} needs sha256 of {', '.join(_CHECKED)}; it holds {digests!r}")
    for name in _CHECKED:
        check_file(folder / name, digests[name], told_by=CONFIG)
    try:
        tensors = safetensors.load_file(folder / TENSORS)
        items = pl.read_parquet(folder / ITEMS)
        card = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
    except (SafetensorError, PolarsError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{folder} cannot be read although its digests match: {error}") from error
    kept = {key: value for key, value in config.items() if key not in _OURS}
    return Artifact(kept, tensors, items, card, folder, config.get(_STORED) or {}, str(digests[TENSORS]))


def artifact_size_bytes(folder: Path) -> int:
    """Bytes that must be shipped: the files of the format, without whatever else lies in the folder."""
    return sum(size_bytes(folder / name) for name in (CONFIG, *_PARTS) if (folder / name).exists())


def _safetensors(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    # a transposed or strided array must be laid out in order first; ascontiguousarray would make a scalar [1]
    return safetensors.save({name: np.asarray(array, order="C") for name, array in tensors.items()})


def _parquet(items: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    items.write_parquet(buffer)
    return buffer.getvalue()


def _refuse_to_delete_other_files(folder: Path) -> None:
    if folder.is_file():
        raise ArtifactError(f"{folder} is a file; expected a folder for the model, or a path that is free")
    present = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    other = sorted(present - {CONFIG, *_PARTS})
    if other:
        raise ArtifactError(
            f"{folder} also holds {', '.join(other)}, which a new model there would delete. "
            "Move them elsewhere, or name another folder"
        )
    if present and (CONFIG not in present or read_json(folder / CONFIG).get("format") != FORMAT):
        raise ArtifactError(f"{folder} holds files that are no distilrec model; name another folder")


def _read_config(folder: Path) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        fault = f"has no {CONFIG}" if folder.is_dir() else "is not a folder"
        raise ArtifactError(f"{folder} {fault}; expected a saved model: {CONFIG}, {', '.join(_PARTS)}")
    config = read_json(folder / CONFIG)
    if config.get("format") != FORMAT:
        raise ArtifactError(f"{folder / CONFIG} says format {config.get('format')!r}; expected {FORMAT!r}")
    version = config.get("format_version")
    if not isinstance(version, int) or version < 1:
        raise ArtifactError(f"{folder / CONFIG} says format_version {version!r}; expected a number from 1")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} was written in format version {version}; this distilrec reads up to {FORMAT_VERSION}. "
            "Run: pip install --upgrade distilrec"
        )
    return config


def _refuse_other_weights(folder: Path) -> None:
    names = sorted(file.name for file in folder.iterdir())
    other = [name for name in names if name.lower().endswith(_WEIGHTS_ENDINGS) and name not in (TENSORS, CODES)]
    if other:
        raise ArtifactError(
            f"{folder} also holds {', '.join(other)}; weights are read from {TENSORS} alone, since other "
            "files can run code when opened or be mistaken for it. Move them elsewhere"
        )


def check_file(path: Path, expected: object, *, told_by: str) -> None:
    """Refuse a file that is missing, or whose digest is not the one that another file, `told_by`, says."""
    if not path.is_file():
        raise ArtifactError(f"{path} is missing; the folder is not whole. Copy or export it again")
    found = sha256_of_file(path)
    if found != expected:
        raise ArtifactError(
            f"{path} was altered or cut short: its SHA-256 is {found[:12]}..., {told_by} says "
            f"{str(expected)[:12]}... Copy or export the folder again"
        )
