"""A curriculum: training begins with the easiest windows, and harder ones join them.

Source: Bengio et al. 2009 ("Curriculum Learning"); how fast they join is the square-root competence of Platanios et al.
2019 ("Competence-based Curriculum Learning for Neural Machine Translation").
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.types import FloatArray, IntArray


class CurriculumSettings(Settings):
    """Which windows are trained on, and from when."""

    start_share: float = Field(0.25, gt=0, le=1)
    """The share of the windows, easiest first, that training begins with."""
    full_at: float = Field(0.5, gt=0, le=1)
    """The share of training after which every window is in."""
    by: Literal["teacher_loss", "length"] = "teacher_loss"
    """What makes a window hard: the teacher predicts it badly, or it is long."""


def share_at(settings: CurriculumSettings, progress: float) -> float:
    """The share of the windows that are trained on when a share `progress` of training is done.

    `sqrt(c**2 + (1 - c**2) * progress / full_at)` with `c` the share at the start, and 1 from `full_at` on. It rises
    fast at first and slower later, so that each new window gets about the same time while it is new.
    """
    if progress >= settings.full_at:
        return 1.0
    first = settings.start_share**2
    return float(np.sqrt(first + (1 - first) * progress / settings.full_at))


def chosen_windows(difficulty: FloatArray, share: float) -> IntArray:
    """Row numbers of the easiest windows, easiest first: the share rounded to whole windows, at least one.

    Of two equally hard windows the earlier one comes first, so that a window that is in stays in as the share rises.

    Args:
        difficulty: of each training window, `[windows]`; only its order counts.
        share: between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise SettingsError(f"the share of windows is {share}; expected a number between 0 and 1")
    if difficulty.ndim != 1 or not len(difficulty):
        raise SettingsError(f"difficulty has shape {difficulty.shape}; expected one number for each training window")
    if np.isnan(difficulty).any():
        row = int(np.isnan(difficulty).argmax())
        raise SettingsError(f"the difficulty of window {row} is NaN; expected a number for each training window")
    rows: IntArray = np.argsort(difficulty, kind="stable")[: max(1, round(share * len(difficulty)))]
    return rows


def difficulty_by_length(lengths: IntArray) -> FloatArray:
    """Long windows are hard: how many positions each has, `[windows]`."""
    return lengths.astype(np.float32)
