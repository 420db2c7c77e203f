"""A model as it is served: an artefact's folder with graphs beside it, and one file that says what they are.

- all that an artefact has (`distilrec.artifact`); the item table lies there alone, in its stored form.
- `encoder.onnx`: the vectors of a history and its length in, what the user wants next out (decision 0017).
- `all_in_one.onnx`: row numbers of a history in, the best items out, for where nothing may stand beside a graph.
- `parity.json`: the certificate of how far the graphs are from the model.
- `codes.safetensors`: of a large table, the codes of a fast scan, which take seconds to learn; its header names the
  digest of the weights that they are of, so that codes of another table are refused.
- `export.json`: which table a history is looked up in, how long a history is read, and digests of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors

from distilrec.artifact import CODES, CONFIG, TENSORS, Artifact, check_file, read_artifact
from distilrec.errors import ArtifactError
from distilrec.files import read_json, sha256_of_file, write_json
from distilrec.storage.form import Array

FORMAT_VERSION = 2  # written where there are codes; version 1 is the same without them
EXPORT, ENCODER, ALL_IN_ONE, PARITY = "export.json", "encoder.onnx", "all_in_one.onnx", "parity.json"
_DIGESTED = (CONFIG, ENCODER, ALL_IN_ONE, PARITY, CODES)
_OF = "weights_sha256"


@dataclass(frozen=True)
class Exported:
    """What an exported folder holds."""

    artifact: Artifact
    encoder: bytes
    input_table: str
    """The array that a history's items are looked up in."""
    max_length: int
    """How many of the newest items of a history are read, L."""
    digest: str
    """Of all of it."""
    codes: Mapping[str, Array] | None = None
    """Of the item table, as `distilrec.search.Codes` reads them, where they were kept."""


def write_export(folder: Path, about: Mapping[str, Any]) -> None:
    """Write `export.json` into a folder whose other files are there."""
    digests = {name: sha256_of_file(folder / name) for name in _DIGESTED if (folder / name).is_file()}
    version = FORMAT_VERSION if CODES in digests else 1
    write_json(folder / EXPORT, {"format_version": version, **about, "sha256": digests})


def write_codes(folder: Path, codes: Mapping[str, Array]) -> None:
    """Write the codes of the table in a folder's weights."""
    of = {_OF: sha256_of_file(folder / TENSORS)}
    (folder / CODES).write_bytes(safetensors.save(dict(codes), metadata=of))


def read_export(folder: Path) -> Exported:
    """Read an exported folder; every file but the card is checked against its digest.

    Raises:
        ArtifactError: it is no such folder, of a newer version, or a file is missing or damaged.
    """
    about = _about(folder)
    digests: Mapping[str, str] = about["sha256"]
    for name in (CONFIG, ENCODER):
        if name not in digests:
            raise ArtifactError(f"{folder / EXPORT} has no digest of {name}; export the model again")
    for name, digest in digests.items():
        check_file(folder / name, digest, told_by=EXPORT)
    try:
        table, length = str(about["input_table"]), int(about["max_length"])
    except (KeyError, TypeError, ValueError):
        raise ArtifactError(f"{folder / EXPORT} lacks input_table or max_length; export the model again") from None
    encoder, artifact = (folder / ENCODER).read_bytes(), read_artifact(folder)
    codes = _read_codes(folder / CODES, artifact.weights_digest) if CODES in digests else None
    return Exported(artifact, encoder, table, length, sha256_of_file(folder / EXPORT), codes)


def _read_codes(path: Path, weights_digest: str) -> dict[str, Array]:
    try:
        with safe_open(path, framework="numpy") as file:
            of = (file.metadata() or {}).get(_OF)
            codes = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except SafetensorError as error:
        raise ArtifactError(f"{path} cannot be read although its digest matches: {error}") from error
    if of != weights_digest:
        raise ArtifactError(
            f"{path} has codes of other weights: of those with the digest {str(of)[:12]}, {TENSORS} here has "
            f"{weights_digest[:12]}. Export the model again"
        )
    return codes


def _about(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ArtifactError(f"{folder} does not exist; expected a folder that `distilrec export` wrote")
    if not (folder / EXPORT).is_file():
        what = "a model that is not exported" if (folder / CONFIG).is_file() else "no exported model"
        raise ArtifactError(f"{folder} holds {what}; run: distilrec export {folder} --out FOLDER")
    about = read_json(folder / EXPORT)
    version = about.get("format_version")
    if not isinstance(version, int) or version < 1 or not isinstance(about.get("sha256"), dict):
        raise ArtifactError(f"{folder / EXPORT} is damaged: it says version {version!r}; export the model again")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} was exported in version {version}; this distilrec reads up to {FORMAT_VERSION}. "
            "Run: pip install --upgrade distilrec"
        )
    return about
