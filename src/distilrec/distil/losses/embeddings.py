"""Losses on item vectors: a student's table against a teacher's, on a sample of the catalogue.

Draw the sample first (`rows.sample_rows`), then project the student's rows of it: a whole table through a projection
in every step costs more than the student.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from distilrec.distil.losses.rows import above_zero, cosines, same_shape, unit


def item_alignment_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine between an item's two vectors, 0 to 2, a number an item.

    `1 - s . t / (|s| |t|)`; a vector of zeros counts 1 and gets no gradient.

    Source: `features.hidden_cosine` (DistilBERT, Sanh et al. 2019) on items.

    Args:
        student: vectors of the items drawn, `[M, D]`, after a projection where the widths differ.
        teacher: its vectors of the same items, `[M, D]`.

    Needs the teacher's item table. Beside starting from that table (`initialise`) it holds on while training goes
    elsewhere; beside `item_alignment_contrastive` it has no negatives, so it is fast. It fails quietly where all of the
    teacher's vectors share a direction, as a language model's do before whitening: the student's then agree with it by
    taking that direction.
    """
    student, teacher = same_shape(student, teacher, "item vectors")
    return 1 - cosines(student, teacher)


def item_alignment_contrastive(
    student: Tensor, teacher: Tensor, *, temperature: float = 0.1, both_ways: bool = True
) -> Tensor:
    """Whether an item's vector finds its teacher's among those of the other items drawn, a number an item.

    `-log softmax_j(cos(s_i, t_j) / T)_i`; both ways: the mean of that and of the teacher's finding the student's.

    Source: InfoNCE (van den Oord et al. 2018); between two models CRD (Tian et al., ICLR 2020); between a recommender
    and a language model RLMRec (Ren et al., WWW 2024); both ways as in CLIP (Radford et al., ICML 2021).

    Args:
        student: vectors of the items drawn, `[M, D]`, after a projection where the widths differ.
        teacher: its vectors of the same items, `[M, D]`.
        temperature: small and only the nearest wrong items count.

    Needs the teacher's item table. Unlike `item_alignment_cosine` a direction that all vectors share does not help, and
    items are pushed apart. It fails quietly with items of one text (colours of one shirt): each is the other's negative
    and the loss cannot fall; and with so few items drawn that finding one is easy. Slow above some thousands of items.
    """
    above_zero("temperature", temperature)
    student, teacher = same_shape(student, teacher, "item vectors")
    logits = unit(student) @ unit(teacher).T / temperature  # [M, M]
    own = torch.arange(len(logits), device=logits.device)
    found = F.cross_entropy(logits, own, reduction="none")
    return (found + F.cross_entropy(logits.T, own, reduction="none")) / 2 if both_ways else found
