"""How far a student believes its teacher at each position."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from distilrec.config import Settings
from distilrec.data.batches import Windows
from distilrec.distil.losses.catalogue import Trust, chunk_positions
from distilrec.distil.losses.trust import agreement, confidence, target_trust
from distilrec.distil.moment import Moment
from distilrec.errors import SettingsError
from distilrec.mixture.teacher import Teacher
from distilrec.types import FloatArray, IntArray


class TrustSettings(Settings):
    """What makes a teacher believed at a position: each measure, 0 to 1, to a power of its own, multiplied.

    A power of 0 leaves a measure out. The product multiplies `alpha`, so where a teacher is not believed the hard label
    counts for more, and it weighs every other loss that gives a number a position.
    """

    confidence: float = Field(0.0, ge=0)
    """Power of how sure the teacher is: 1 less its entropy as a share of the largest."""
    target: float = Field(0.0, ge=0)
    """Power of how well it knew the answer: high where it ranks the item that came next near its top."""
    agreement: float = Field(0.0, ge=0)
    """Power of how much of their probability teacher and student have in common; small at first, growing."""
    advantage: float = Field(0.0, ge=0)
    """Power of how much better than the student alone it was on validation, for items as popular as the answer."""
    importance: float = Field(0.0, ge=0)
    """Power of how much single items of its list count: by place, by its confidence, and more where the student lists
    them too. It multiplies no `alpha` and weighs no position, but items in the loss `ranking_distillation`."""

    @property
    def by_position(self) -> bool:
        """Whether it weighs positions at all, or items of lists alone."""
        return any(value for name, value in self if name != "importance")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(value for _, value in self):
            raise ValueError("trust has no measure above 0, so it would say nothing; leave it out, or give a power")
        return self


class RowTrust:
    """Trust at the positions of a step."""

    def __init__(self, settings: TrustSettings, windows: Windows, advantage: FloatArray | None) -> None:
        """`advantage`: how much better the teacher is at each training position, 0 to 1, window after window."""
        n_positions = int(windows.positions.sum())
        if settings.advantage and advantage is None:
            raise SettingsError(
                "trust.advantage needs to know how much better the teacher is than the student alone on validation; "
                "give `advantage`, or set it to 0"
            )
        if advantage is not None and advantage.shape != (n_positions,):
            raise SettingsError(
                f"advantage has shape {advantage.shape}; expected ({n_positions},), a number a position"
            )
        if advantage is not None and not ((advantage >= 0) & (advantage <= 1)).all():
            raise SettingsError(
                "advantage holds numbers outside 0 to 1, or NaN; expected how far to believe the teacher"
            )
        self.settings, self._advantage = settings, advantage
        self._starts = np.concatenate([[0], np.cumsum(windows.positions)])

    def of(self, moment: Moment) -> Trust:
        """For the loss over the catalogue."""
        advantage = self._advantages(moment)

        def trust(shares: Tensor, student: Tensor, targets: Tensor, at: slice) -> Tensor:
            return self._product(shares, student, targets, None if advantage is None else advantage[at])

        return trust

    def of_positions(self, moment: Moment) -> Tensor:
        """For losses that give a number a position, [P]."""
        parts, n_items = moment.teacher.soft_labels(), len(moment.items)
        count, trust = len(moment.targets), self.of(moment)
        if not parts:
            raise SettingsError("trust looks at the teacher's soft labels, and the knowledge has none")
        teacher = Teacher(parts, count, n_items, 1.0, moment.precision)
        histories, items = moment.histories.detach().to(moment.precision), moment.items.detach().to(moment.precision)
        chunk, found = chunk_positions(n_items), []
        for begin in range(0, count, chunk):
            at = slice(begin, min(begin + chunk, count))
            shares, covered = teacher.shares(at.start, at.stop)  # [c, N]
            student = torch.softmax(histories[at] @ items.T, dim=1)
            weights = trust(shares, student, moment.targets[at], at)
            found.append(weights if covered is None else weights * covered)
        return torch.cat(found)

    def _product(self, shares: Tensor, student: Tensor, targets: Tensor, advantage: Tensor | None) -> Tensor:
        settings, total = self.settings, torch.ones(len(targets), device=targets.device)
        if settings.confidence:
            total = total * confidence(shares) ** settings.confidence
        if settings.target:
            total = total * target_trust(shares, targets) ** settings.target
        if settings.agreement:
            total = total * agreement(shares, student) ** settings.agreement
        if advantage is not None and settings.advantage:
            total = total * advantage**settings.advantage
        return total

    def _advantages(self, moment: Moment) -> Tensor | None:
        if self._advantage is None:
            return None
        batch = moment.teacher.batch
        if batch.rows is None:
            raise SettingsError(
                "trust.advantage is known of training windows, and this batch does not say which it has"
            )
        rows = [np.arange(self._starts[row], self._starts[row + 1]) for row in batch.rows]
        positions: IntArray = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        kept = moment.teacher.positions
        return torch.from_numpy(self._advantage[positions if kept is None else positions[kept]]).to(moment.items.device)
