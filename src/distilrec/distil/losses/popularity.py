"""A loss that compares items with equally popular ones alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from distilrec.distil.losses.rows import NEVER, above_zero, wide
from distilrec.errors import SettingsError
from distilrec.types import IntArray


def grouped_soft_labels(
    student_logits: Tensor,
    teacher_logits: Tensor,
    groups: Tensor,
    *,
    temperature: float = 1.0,
    listed: Tensor | None = None,
) -> Tensor:
    """UnKD: the teacher's probabilities within each group of equally popular items, a number a row.

    `mean_g CE( softmax(t / T) within g, softmax(s / T) within g )` over the groups of which a row lists two or more.

    Source: UnKD (Chen et al., WSDM 2023, "Unbiased Knowledge Distillation for Recommendation"), which draws pairs
    within a group by the teacher's order; a softmax over the group's items compares all of them at once.

    Args:
        student_logits: `[R, K]`.
        teacher_logits: of the same items, `[R, K]`, or their logarithmic probabilities.
        groups: the number of each item's group, `[R, K]`; `popularity_groups` makes them.
        temperature: of both sides.
        listed: `[R, K]`, True where an item counts.

    Needs the teacher's logits of items of every group, not of its best alone: those are all popular. Beside soft labels
    it says nothing of one group against another, so a teacher's taste for what is popular is not handed on; something
    else must teach how popular items are, as hard labels do. It fails quietly with groups of one listed item: they
    teach nothing.
    """
    above_zero("temperature", temperature)
    if student_logits.ndim != 2 or not student_logits.shape == teacher_logits.shape == groups.shape:
        raise SettingsError(
            f"student, teacher and groups have shapes {tuple(student_logits.shape)}, {tuple(teacher_logits.shape)} and "
            f"{tuple(groups.shape)}; expected [R, K] three times"
        )
    student, teacher = wide(student_logits) / temperature, wide(teacher_logits).detach() / temperature
    real = torch.ones_like(groups, dtype=torch.bool) if listed is None else listed
    total, counted = student.new_zeros(len(student)), student.new_zeros(len(student))
    for group in range(int(groups.max()) + 1 if groups.numel() else 0):
        mine = real & (groups == group)  # [R, K]
        enough = mine.sum(dim=1) > 1  # [R]
        shares = torch.softmax(teacher.masked_fill(~mine, NEVER), dim=1)
        logs = torch.log_softmax(student.masked_fill(~mine, NEVER), dim=1)
        each = -(shares * logs.masked_fill(~mine, 0.0)).sum(dim=1)
        total, counted = total + torch.where(enough, each, 0.0), counted + enough
    return total / counted.clamp(min=1)


def popularity_groups(counts: IntArray, n_groups: int) -> IntArray:
    """The group of each item, [N] from 0 for the most popular: every group has about an equal share of all events.

    Args:
        counts: how often each item is used in training, `[N]`.
    """
    if not 2 <= n_groups <= len(counts):
        raise SettingsError(f"groups is {n_groups}; expected 2 to the catalogue's {len(counts)} items")
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]  # events of the items above
    groups = np.empty(len(counts), dtype=np.int64)
    groups[order] = np.minimum(before * n_groups // max(int(counts.sum()), 1), n_groups - 1)
    return groups
