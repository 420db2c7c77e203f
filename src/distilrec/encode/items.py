"""A catalogue's texts through an encoder, and the facts about that encoder that a table of sizes needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
from safetensors import safe_open

from distilrec.encode.cache import encode_cached
from distilrec.encode.folder import digest_of_folder, locate
from distilrec.encode.settings import EncodeSettings
from distilrec.encode.templates import default_template, fill
from distilrec.types import FloatArray


def encode_items(
    items: pl.DataFrame, settings: EncodeSettings, *, cache_dir: Path | None = None, quiet: bool = False
) -> tuple[FloatArray, dict[str, Any]]:
    """One vector for each item `[N, F]`, zeros where an item has no text, and facts about the encoder."""
    template = settings.template if settings.template is not None else default_template(items)
    texts = fill(items, template)
    vectors = encode_cached(texts, settings, cache_dir=cache_dir, quiet=quiet)
    folder = locate(settings.model, quiet=True)
    weights = sorted(folder.glob("**/*.safetensors"))
    about = {
        "model": Path(settings.model).name,
        "digest": digest_of_folder(folder),
        "parameters": sum(_count_parameters(path) for path in weights),
        "bytes": sum(path.stat().st_size for path in weights),
        "template": template,
        "items_without_text": sum(not text for text in texts),
        "width": vectors.shape[1],
    }
    return vectors, about


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
