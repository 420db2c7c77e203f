"""Encoded texts on disk, found again by what they were made of; torch is loaded only when something is missing."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from distilrec.encode.folder import digest_of_folder, locate
from distilrec.encode.settings import EncodeSettings
from distilrec.errors import DataError, SettingsError
from distilrec.files import atomic_path, sha256_of_arrays, sha256_of_value
from distilrec.progress import progress
from distilrec.sources import cache_folder
from distilrec.types import FloatArray

if TYPE_CHECKING:
    from distilrec.encode.text import TextEncoder

_VERSION = 1  # raised when the same texts and model would give other vectors
SHARD_TEXTS = 2048


def encode_cached(
    texts: Sequence[str],
    settings: EncodeSettings | None = None,
    *,
    cache_dir: Path | None = None,
    quiet: bool = False,
) -> FloatArray:
    """One vector for each text, [n, F]; an empty text gets zeros. `settings.template` is not used here.

    Finished vectors lie under `vectors/` in the cache, named by the digest of the model, the texts and the
    settings. Parts are saved as they are finished, so an interrupted encoding goes on where it stopped. A
    damaged file is computed again.
    """
    settings = settings or EncodeSettings()
    if len(settings.models) > 1:
        raise SettingsError(f"expected one model, got {', '.join(settings.models)}; encode.items joins several")
    unique = sorted({text for text in texts if text}, key=lambda text: (len(text), text))
    if not unique:
        raise DataError(f"all {len(texts):,} texts are empty; there is nothing to encode")
    model = locate(settings.models[0], quiet=quiet)
    place = (cache_dir or cache_folder()) / "vectors" / f"{_key(model, unique, settings)}.safetensors"
    vectors = _read(place, len(unique), quiet=quiet)
    if vectors is None:
        vectors = _encode_in_shards(model, unique, settings, place, quiet)
    return _spread(vectors, unique, texts)


def _key(model: Path, unique: list[str], settings: EncodeSettings) -> str:
    digest = hashlib.sha256()
    for text in unique:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    made_of = {
        "version": _VERSION,
        "model": digest_of_folder(model),
        "texts": digest.hexdigest(),
        "max_tokens": settings.max_tokens,
        "dtype": settings.dtype,
    }
    return sha256_of_value(made_of)[:32]


def _encode_in_shards(model: Path, unique: list[str], settings: EncodeSettings, place: Path, quiet: bool) -> FloatArray:
    """Texts are sorted by length already, so a shard's texts fill its batches well."""
    parts = place.with_suffix(".parts")
    shards = [unique[start : start + SHARD_TEXTS] for start in range(0, len(unique), SHARD_TEXTS)]
    paths = [parts / f"{number:06d}.safetensors" for number in range(len(shards))]
    done = [_read(path, len(shard), quiet=quiet) for path, shard in zip(paths, shards, strict=True)]
    resumed = sum(len(vectors) for vectors in done if vectors is not None)
    encoder = _load(model, settings)
    with progress("encoding texts", total=len(unique), start=resumed, quiet=quiet) as advance:
        for number, (path, shard) in enumerate(zip(paths, shards, strict=True)):
            if done[number] is None:
                vectors = encoder.encode(shard, token_budget=settings.token_budget, advance=advance)
                _write(path, vectors)
                done[number] = vectors
    whole = np.concatenate([vectors for vectors in done if vectors is not None])
    _write(place, whole)
    shutil.rmtree(parts)
    return whole


def _load(model: Path, settings: EncodeSettings) -> TextEncoder:
    from distilrec.encode.text import TextEncoder

    return TextEncoder.load(model, dtype=settings.dtype, max_tokens=settings.max_tokens, device=settings.device)


def _spread(vectors: FloatArray, unique: list[str], texts: Sequence[str]) -> FloatArray:
    """Back from the different texts to all of them, [n, F]."""
    rows = {text: row for row, text in enumerate(unique)}
    padded = np.concatenate([vectors, np.zeros((1, vectors.shape[1]), dtype=np.float32)])
    return padded[[rows.get(text, -1) for text in texts]]  # the last row is for empty texts


def _write(path: Path, vectors: FloatArray) -> None:
    arrays = {"vectors": vectors}
    with atomic_path(path) as temporary:
        save_file(arrays, temporary, metadata={"sha256": sha256_of_arrays(arrays)})


def _read(path: Path, rows: int, *, quiet: bool) -> FloatArray | None:
    """The vectors of one file; None when it is not there or not sound."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            vectors: FloatArray = file.get_tensor("vectors")
            promised = (file.metadata() or {}).get("sha256")
        sound = len(vectors) == rows and sha256_of_arrays({"vectors": vectors}) == promised
    except SafetensorError:
        sound = False
    if sound:
        return vectors
    if not quiet:
        print(f"{path} is damaged; its texts are encoded again", file=sys.stderr, flush=True)
    return None
