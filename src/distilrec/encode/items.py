"""A catalogue's texts through its encoders, and the facts about them that a table of sizes needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors import safe_open

from distilrec.encode.cache import encode_cached
from distilrec.encode.folder import digest_of_folder, locate
from distilrec.encode.settings import EncodeSettings
from distilrec.encode.templates import default_template, fill
from distilrec.files import sha256_of_value
from distilrec.types import FloatArray


def encode_items(
    items: pl.DataFrame, settings: EncodeSettings, *, cache_dir: Path | None = None, quiet: bool = False
) -> tuple[FloatArray, dict[str, Any]]:
    """One vector for each item `[N, F]`, zeros where an item has no text, and facts about the encoder.

    With several models or templates, each model reads each template. Each such part is scaled to unit length, so that
    all count the same whatever the size of their numbers, and the parts stand side by side, models first. An item
    without text for one template has zeros in that part alone.
    """
    templates = [template if template is not None else default_template(items) for template in settings.templates]
    texts = [fill(items, template) for template in templates]
    pairs = [(model, number) for model in settings.models for number in range(len(templates))]
    parts = [
        encode_cached(
            texts[number],
            settings.with_changes(model=model, template=templates[number]),
            cache_dir=cache_dir,
            quiet=quiet,
        )
        for model, number in pairs
    ]
    vectors = parts[0] if len(parts) == 1 else np.concatenate([_unit_rows(part) for part in parts], axis=1)
    about = {
        **_sizes(settings),
        "digest": digest_of_encoders(settings),
        "template": templates[0] if len(templates) == 1 else templates,
        "items_without_text": sum(not any(row) for row in zip(*texts, strict=True)),
        "width": vectors.shape[1],
    }
    return vectors, about


def digest_of_encoders(settings: EncodeSettings, *, quiet: bool = True) -> str:
    """One digest of everything in the encoders' folders that decides their vectors."""
    digests = [digest_of_folder(locate(model, quiet=quiet)) for model in settings.models]
    return digests[0] if len(digests) == 1 else sha256_of_value(digests)


def _sizes(settings: EncodeSettings) -> dict[str, Any]:
    """Names, parameters and bytes; an encoder that reads several templates counts once."""
    folders = dict.fromkeys(locate(model, quiet=True) for model in settings.models)
    weights = [path for folder in folders for path in sorted(folder.glob("**/*.safetensors"))]
    return {
        "model": " + ".join(Path(model).name for model in settings.models),
        "parameters": sum(_count_parameters(path) for path in weights),
        "bytes": sum(path.stat().st_size for path in weights),
    }


def _unit_rows(vectors: FloatArray) -> FloatArray:
    """Unit length, [N, F]; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _count_parameters(weights: Path) -> int:
    """Numbers in a safetensors file, read from its header alone; integer buffers do not count."""
    total = 0
    with safe_open(weights, framework="np") as file:
        for name in file.keys():  # noqa: SIM118  (not a dict)
            part = file.get_slice(name)
            size = 1
            for length in part.get_shape():
                size *= length
            total += size if str(part.get_dtype()).startswith(("F", "BF")) else 0
    return total
