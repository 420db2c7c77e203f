"""Manifests of version 1, read as if they were of this version: one teacher, soft labels as factors, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distilrec.knowledge.layout import POSITIONS, FactorPart, describe, table_path


def upgraded(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as version 2 would say it."""
    tables = {
        "item_vectors": ([manifest["n_items"], manifest["width"]], manifest["item_vectors_sha256"]),
        POSITIONS: ([manifest["windows"]], manifest["positions_sha256"]),
    }
    return {
        **manifest,
        "tables": {
            name: {
                "shape": shape,
                "dtype": str(np.load(table_path(folder, name), mmap_mode="r").dtype),
                "sha256": digest,
            }
            for name, (shape, digest) in tables.items()
        },
        "columns": [
            {"name": "history_vectors", "shape": [manifest["width"]], "dtype": manifest["dtype"], "per": "position"}
        ],
        "parts": [describe(FactorPart())],
        "shards": [
            {
                "number": int(Path(shard["file"]).stem.rpartition("-")[2]),
                "first_window": shard["first_window"],
                "windows": shard["windows"],
                "positions": shard["positions"],
                "sha256": {"history_vectors": shard["sha256"]},
            }
            for shard in manifest["shards"]
        ],
    }
