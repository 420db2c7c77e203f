"""Starting a student where its teacher already is."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilrec.errors import SettingsError
from distilrec.types import FloatArray


def principal_directions(item_vectors: FloatArray, width: int) -> FloatArray:
    """The `width` directions in which a teacher's item table `[N, D]` varies most, as columns of length 1, [D, width].

    They stand at right angles; each is signed so that its largest entry is positive.
    """
    return _directions(_centred(item_vectors), width).astype(np.float32)


def reduce_table(item_vectors: FloatArray, width: int) -> FloatArray:
    """A teacher's item table `[N, D]` in its principal directions, [N, width].

    The table is centred first. Distances between items are kept as well as `width` numbers can keep them, so the
    student starts with the teacher's neighbours.
    """
    centred = _centred(item_vectors)
    reduced: FloatArray = (centred @ _directions(centred, width)).astype(np.float32)
    return reduced


def _directions(centred: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    n_items, teacher_width = centred.shape
    if width > min(teacher_width, n_items):
        raise SettingsError(
            f"a table of {n_items} items and width {teacher_width} has no {width} principal directions; "
            f"choose a student width of at most {min(teacher_width, n_items)}, or do not start from the teacher"
        )
    _, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    directions = directions[:, ::-1][:, :width]
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(width)])
    return directions


def _centred(item_vectors: FloatArray) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = item_vectors.astype(np.float64) - item_vectors.mean(axis=0, dtype=np.float64)
    return centred


@torch.no_grad()
def start_from_teacher(table: Tensor, teacher_item_vectors: FloatArray) -> None:
    """Write the teacher's reduced item table over a student's `[N, D]` table, in place."""
    reduced = reduce_table(teacher_item_vectors, table.shape[1])
    if reduced.shape != tuple(table.shape):
        raise SettingsError(
            f"the teacher ranks {len(reduced)} items, the student {len(table)}; expected the same catalogue"
        )
    table.copy_(torch.from_numpy(reduced))
