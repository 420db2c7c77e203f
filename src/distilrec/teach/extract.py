"""Taking knowledge out of a teacher: once, onto disk, or on the fly while a student trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distilrec.data.batches import in_order
from distilrec.files import sha256_of_arrays
from distilrec.knowledge import Knowledge, KnowledgeWriter
from distilrec.models.transformer import Transformer
from distilrec.progress import progress
from distilrec.types import Batch, FloatArray, IntArray, ranges

_BATCH_WINDOWS = 256


class LiveTeacher:
    """A teacher asked for every batch as it comes. Needs no disk, and costs one forward pass of it a batch."""

    def __init__(self, model: Transformer) -> None:
        self._model = model.fold()
        self._items: FloatArray = self._model.item_vectors().detach().numpy()

    def item_vectors(self) -> FloatArray:
        """The teacher's item table, [N, D_teacher]."""
        return self._items

    def digest(self) -> str:
        """Digest of the weights."""
        return sha256_of_arrays(self._model.state())

    @torch.inference_mode()
    def history_vectors(self, batch: Batch) -> FloatArray:
        """The teacher's vectors for the real positions of a batch, [P, D_teacher]."""
        vectors: FloatArray = self._model(batch)[0].numpy()
        return vectors


def extract(
    model: Transformer,
    folder: Path,
    *,
    make_batch: Callable[[IntArray], Batch],
    positions: IntArray,
    windows_digest: str,
    about: Mapping[str, Any] | None = None,
    windows_per_shard: int = 8192,
    quiet: bool = False,
) -> Knowledge:
    """Write what a teacher says about every training position.

    Args:
        make_batch: gives the batch of chosen training windows (`Windows.batch`).
        positions: how many positions each window has, [windows].
        windows_digest: digest of the windows, kept so that a student on other data refuses this knowledge.
        about: more facts for the manifest.
    """
    teacher = LiveTeacher(model)
    identity = {
        "teacher": {"kind": model.kind, "parameters": model.n_parameters, **(about or {})},
        "teacher_digest": teacher.digest(),
        "windows_digest": windows_digest,
        "max_length": model.max_length,
    }
    writer = KnowledgeWriter(folder, about=identity, positions=positions, windows_per_shard=windows_per_shard)
    missing = list(writer.missing())
    done = len(positions) - sum(len(rows) for _, rows in missing)
    with progress("Extracting knowledge", total=len(positions), start=done, quiet=quiet) as advance:
        for number, rows in missing:
            writer.write_shard(number, _shard(teacher, rows, make_batch, positions))
            advance(len(rows))
    return writer.finish(teacher.item_vectors())


def _shard(
    teacher: LiveTeacher, rows: IntArray, make_batch: Callable[[IntArray], Batch], positions: IntArray
) -> FloatArray:
    """The vectors of consecutive windows, [positions, D_teacher], worked out shortest window first."""
    lengths = positions[rows]
    starts = np.cumsum(lengths) - lengths
    vectors = np.empty((int(lengths.sum()), teacher.item_vectors().shape[1]), dtype=np.float32)
    for chosen in in_order(lengths, batch_size=_BATCH_WINDOWS):
        vectors[ranges(starts[chosen], lengths[chosen])] = teacher.history_vectors(make_batch(rows[chosen]))
    return vectors
