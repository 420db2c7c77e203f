"""Exported folders to put in the place of a served one: good, half copied, and corrupt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from distilrec.artifact import TENSORS
from distilrec.exported import EXPORT
from distilrec.files import atomic_path

N_ITEMS = 500


def make_tiny(folder: Path) -> None:
    """Export a small student without training; torch is needed for this alone."""
    import polars as pl
    import torch

    from distilrec.models.students import build_student, preset
    from distilrec.recommender import Recommender
    from distilrec.run.exporting import ExportSettings, export

    torch.manual_seed(0)
    student = build_student(preset("transformer", "tiny"), N_ITEMS).fold().eval()
    items = pl.DataFrame({"item_id": range(1, N_ITEMS + 1), "train_count": range(N_ITEMS, 0, -1)})
    model = folder.with_name(f"{folder.name}-model")
    Recommender(student, items).save_pretrained(model)
    export(model, folder, ExportSettings(histories=20))


def another(folder: Path, target: Path, number: int) -> None:
    """Copy an exported folder as a model of its own: its digest, by which models are told apart, is another."""
    shutil.copytree(folder, target)
    about = json.loads((target / EXPORT).read_text(encoding="utf-8"))
    (target / EXPORT).write_text(json.dumps({**about, "note": f"copy {number} of a soak"}), encoding="utf-8")


def put(source: Path, served: Path) -> None:
    """Put a folder in the place of the served one by renaming, as `distilrec export` does."""
    with atomic_path(served) as temporary:
        shutil.copytree(source, temporary)


def copy_half(source: Path, served: Path) -> None:
    """Copy over the served folder, file by file, and leave the weights half copied.

    They come first: they may be the same in both, and with the other files new the folder would be whole for a moment.
    """
    whole = (source / TENSORS).read_bytes()
    (served / TENSORS).write_bytes(whole[: len(whole) // 2])
    for file in source.iterdir():
        if file.name != TENSORS:
            shutil.copy(file, served / file.name)


def corrupt(folder: Path) -> None:
    """Turn over one byte in the middle of the weights."""
    data = bytearray((folder / TENSORS).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / TENSORS).write_bytes(data)
