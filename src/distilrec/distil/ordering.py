"""Which training windows an epoch goes through, and in which batches."""

from __future__ import annotations

import math

import numpy as np
import torch

from distilrec.data.batches import Windows, in_order, plan_batches
from distilrec.distil.curriculum import CurriculumSettings, chosen_windows, difficulty_by_length, share_at
from distilrec.distil.moment import TeacherSide
from distilrec.errors import SettingsError
from distilrec.knowledge import KnowledgeSource
from distilrec.mixture.parts import Onto
from distilrec.seeding import generator
from distilrec.types import FloatArray, IntArray

_AT_ONCE = 128
_SMALLEST_SHARE = 1e-12


class WindowOrder:
    """The batches of each epoch: all windows, or with a curriculum at first the easy ones."""

    def __init__(
        self,
        windows: Windows,
        *,
        batch_size: int,
        seed: int,
        curriculum: CurriculumSettings | None,
        difficulty: FloatArray,
    ) -> None:
        self._windows, self._batch_size, self._seed = windows, batch_size, seed
        self._curriculum, self._difficulty = curriculum, difficulty

    @property
    def most_batches(self) -> int:
        """How many batches an epoch of all windows has."""
        return math.ceil(len(self._windows) / self._batch_size)

    def batches(self, epoch: int, progress: float) -> list[IntArray]:
        """The rows of each batch; the same ones for the same epoch, however often it is asked."""
        draw = generator(self._seed, "batches", epoch)
        if self._curriculum is None:
            return plan_batches(self._windows.positions, batch_size=self._batch_size, generator=draw)
        rows = chosen_windows(self._difficulty, share_at(self._curriculum, progress))
        plan = plan_batches(self._windows.positions[rows], batch_size=self._batch_size, generator=draw)
        return [rows[chosen] for chosen in plan]


def difficulty_of(
    windows: Windows,
    curriculum: CurriculumSettings | None,
    knowledge: KnowledgeSource | None,
    *,
    n_items: int | None,
    onto: Onto,
) -> FloatArray:
    """How hard each window is, [windows]: its length, or the teacher's mean loss of what came next."""
    if curriculum is None or curriculum.by == "length":
        return difficulty_by_length(windows.positions)
    if knowledge is None or n_items is None:
        raise SettingsError("a curriculum by the teacher's loss needs knowledge; give some, or take `by: length`")
    difficulty = np.zeros(len(windows), dtype=np.float32)
    for rows in in_order(windows.positions, batch_size=_AT_ONCE):
        batch = windows.batch(rows)
        side = TeacherSide(knowledge, batch, n_items=n_items, onto=onto, precision=torch.float32)
        losses = _teacher_losses(side, n_items, onto)
        begins = np.concatenate([[0], np.cumsum(batch.lengths)])[:-1]
        difficulty[rows] = np.add.reduceat(losses, begins) / batch.lengths
    return difficulty


def _teacher_losses(side: TeacherSide, n_items: int, onto: Onto) -> FloatArray:
    """Minus the log-probability of what came next, [P]; that of an even guess where the teacher says nothing."""
    batch, parts = side.batch, side.soft_labels()
    if not parts or batch.targets is None:
        raise SettingsError("a curriculum by the teacher's loss needs its soft labels; take `by: length`")
    answers = onto(batch.targets[batch.mask])[:, None]  # [P, 1]
    known = side.log_shares(answers, unknown=-math.log(n_items))[:, 0]
    losses: FloatArray = -known.clamp(min=math.log(_SMALLEST_SHARE)).cpu().numpy()
    return losses
