"""A vector for each user, after the whole training history, straight to disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from distilrec.data.batches import in_order
from distilrec.knowledge.layout import save_chunks
from distilrec.teach.teacher import VectorTeacher
from distilrec.types import Batch, FloatArray, Ragged

_BATCH_HISTORIES = 256
_CHUNK_USERS = 8192


def write_user_vectors(path: Path, teacher: VectorTeacher, users: Ragged, dtype: str) -> None:
    """A row a user; memory does not grow with the users. Zeros for a user without history.

    Raises:
        KnowledgeError: a vector is not finite, or too large for `dtype`.
    """
    width = teacher.item_vectors().shape[1]
    chunks = _chunks(teacher, users, width)
    save_chunks(path, chunks, "the table user_vectors", shape=(len(users), width), dtype=dtype)


def _chunks(teacher: VectorTeacher, users: Ragged, width: int) -> Iterator[FloatArray]:
    limit = int(teacher.module.max_length)  # type: ignore[arg-type]
    for start in range(0, len(users), _CHUNK_USERS):
        part = users.take(np.arange(start, min(start + _CHUNK_USERS, len(users))))
        vectors = np.zeros((len(part), width), dtype=np.float32)
        for rows in in_order(part.lengths, batch_size=_BATCH_HISTORIES):
            known = rows[part.lengths[rows] > 0]
            if len(known):
                batch = Batch.of(list(part.take(known)), max_length=limit)
                vectors[known] = teacher.history_vectors(batch)[np.cumsum(batch.lengths) - 1]
        yield vectors
