"""Losses on relations between rows: how far apart, at what angle, how alike. The widths need no projection.

A row is anything that student and teacher both have a vector for: a position, a history, an item. All rows of a batch
are compared with each other, so at most a bounded number is drawn; every loss gives a number for each row drawn.
Fewer rows than a relation needs give zeros.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from distilrec.distil.losses.rows import same_rows, sample_rows, unit
from distilrec.errors import SettingsError


def relational_distances(
    student: Tensor, teacher: Tensor, *, at_most: int = 128, generator: torch.Generator | None = None
) -> Tensor:
    """How far a row's distances to the others are from the teacher's, a number for each row drawn.

    `mean_j huber(d_ij^S - d_ij^T)`, where `d_ij = |x_i - x_j| / (mean distance)`; huber turns linear at 1.

    Source: RKD-D (Park et al., CVPR 2019).

    Args:
        student: `[R, D_student]`.
        teacher: `[R, D_teacher]`, the same rows.

    Needs the teacher's vectors of the same rows. Turning, moving or scaling either side changes nothing; unlike
    `full_topology`, lengths count. It fails quietly where the batch has two kinds of rows far apart (short and long
    histories): then the one large distance is matched and the fine ones are not.
    """
    student, teacher, _ = _drawn(student, teacher, at_most, generator)
    off = _others(len(student), student.device)
    near, wanted = (_relative_distances(vectors, off) for vectors in (student, teacher))
    return _mean_where(F.smooth_l1_loss(near, wanted, reduction="none"), off)


def relational_angles(
    student: Tensor, teacher: Tensor, *, at_most: int = 32, generator: torch.Generator | None = None
) -> Tensor:
    """How far the angles seen from a row are from the teacher's, a number for each row drawn.

    `mean_ik huber(cos_ijk^S - cos_ijk^T)` for row `j`, where `cos_ijk` is that of the angle at `j` between `i` and `k`.

    Source: RKD-A (Park et al., CVPR 2019), which weighs it twice as much as the distances.

    Args:
        student: `[R, D_student]`.
        teacher: `[R, D_teacher]`, the same rows.

    Needs the teacher's vectors of the same rows. Beside `relational_distances`, three rows at a time: finer, and slow
    (the cube of `at_most`). It fails quietly in wide spaces, where every angle of a random triangle is near 60
    degrees, so the loss is small from the start.
    """
    student, teacher, _ = _drawn(student, teacher, at_most, generator)
    distinct = _others(len(student), student.device)
    triples = distinct[:, :, None] & distinct[:, None, :] & distinct[None]  # [j, i, k]
    angles, wanted = (_angles(vectors) for vectors in (student, teacher))
    return _mean_where(F.smooth_l1_loss(angles, wanted, reduction="none").flatten(1), triples.flatten(1))


def full_topology(
    student: Tensor, teacher: Tensor, *, at_most: int = 256, generator: torch.Generator | None = None
) -> Tensor:
    """How far a row's likeness to the others is from the teacher's, a number for each row drawn.

    `mean_j (cos(s_i, s_j) - cos(t_i, t_j))**2`.

    Source: FTD (Kang et al., KDD 2021, "Topology Distillation for Recommender System"), which takes sums.

    Args:
        student: `[R, D_student]`.
        teacher: `[R, D_teacher]`, the same rows; the paper takes a batch's users and items together.

    Needs the teacher's vectors of the same rows. Turning either side, or scaling any one row, changes nothing. Beside
    `hierarchical_topology` it wants every relation kept, for which a small student has no room. It fails quietly where
    the teacher's vectors share a direction, as a language model's do before whitening: all cosines are near 1.
    """
    student, teacher, _ = _drawn(student, teacher, at_most, generator)
    return _mean_where(_unlike(student, teacher), _others(len(student), student.device))


def hierarchical_topology(
    student: Tensor,
    teacher: Tensor,
    groups: Tensor,
    *,
    between: Literal["rows", "groups"] = "rows",
    at_most: int = 256,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Likeness to the rows of one's own group, and of groups to each other, a number for each row drawn.

    `mean_{j in group} (cos(s_i, s_j) - cos(t_i, t_j))**2 + mean_g (cos(a_i, p_g^S) - cos(b_i, p_g^T))**2`, where `p_g`
    is the mean of a group's rows. With `rows`, `a_i` and `b_i` are the row itself and `g` goes over all groups; with
    `groups`, they are the mean of the row's group, and `g` goes over the others.

    Source: HTD (Kang et al., KDD 2021), its Group(P,e) and Group(P,P); gradients also go through the groups' means.

    Args:
        student: `[R, D_student]`.
        teacher: `[R, D_teacher]`, the same rows.
        groups: a number for each row, `[R]`: `features.DistillationExperts.groups`, trained along as in the paper, or
            `kmeans_groups`.

    Needs the teacher's vectors of the same rows. Beside `full_topology` it asks little across groups, which suits a
    small student. It fails quietly where one group holds nearly all rows (it is `full_topology` then) or each row is
    its own (then only `between` is left).
    """
    if groups.shape != student.shape[:1]:
        raise SettingsError(f"groups have shape {tuple(groups.shape)}; expected ({len(student)},), one a row")
    if between not in ("rows", "groups"):
        raise SettingsError(f"between is {between!r}; expected rows or groups")
    student, teacher, rows = _drawn(student, teacher, at_most, generator)
    kinds, own = torch.unique(groups[rows], return_inverse=True)  # [groups], [n]
    same = (own[:, None] == own) & _others(len(rows), student.device)
    within = _mean_where(_unlike(student, teacher), same)
    members = (own[:, None] == torch.arange(len(kinds), device=own.device)).to(student.dtype)  # [n, groups]
    members = members / members.sum(dim=0)
    means = members.T @ student, members.T @ teacher  # each [groups, D]
    if between == "rows":
        across = unit(student) @ unit(means[0]).T - unit(teacher) @ unit(means[1]).T  # [n, groups]
        return within + across.square().mean(dim=1)
    return within + _mean_where(_unlike(*means), _others(len(means[0]), own.device))[own]


def kmeans_groups(vectors: Tensor, *, groups: int, steps: int = 10, generator: torch.Generator | None = None) -> Tensor:
    """Rows in groups by direction, [R] numbers from 0: spherical k-means from rows drawn at random.

    Args:
        vectors: the teacher's, `[R, D]`; of the whole catalogue or of all training rows, once.
    """
    if groups < 1 or vectors.ndim != 2:
        raise SettingsError(f"{groups} groups of {tuple(vectors.shape)} vectors; expected 1 or more, of [R, D]")
    rows = unit(vectors.detach().float())
    centres = rows[sample_rows(len(rows), groups, generator, rows.device)]  # [groups, D]
    for _ in range(steps):
        own = (rows @ centres.T).argmax(dim=1)  # [R]
        sums = torch.zeros_like(centres).index_add_(0, own, rows)
        taken = sums.norm(dim=1, keepdim=True) > 0
        centres = torch.where(taken, unit(sums), centres)  # a group that lost its rows stays where it was
    return (rows @ centres.T).argmax(dim=1)


def _drawn(
    student: Tensor, teacher: Tensor, at_most: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The rows to compare on both sides, and which they are."""
    student, teacher = same_rows(student, teacher, "vectors")
    rows = sample_rows(len(student), at_most, generator, student.device)
    return student[rows], teacher[rows], rows


def _relative_distances(vectors: Tensor, off: Tensor) -> Tensor:
    """[n, D] -> [n, n], with mean 1 off the diagonal; distances of 0 get no gradient."""
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    mean = distances.sum() / off.sum().clamp(min=1)
    return distances / mean.clamp(min=torch.finfo(vectors.dtype).tiny)


def _angles(vectors: Tensor) -> Tensor:
    """Cosines of the angle at j between i and k, [n, D] -> [j, i, k]; 0 where two of them lie in one place."""
    towards = unit(vectors[None] - vectors[:, None])  # [j, i, D]
    return towards @ towards.transpose(1, 2)


def _unlike(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared differences of cosines, [n, D_student], [n, D_teacher] -> [n, n]."""
    student, teacher = unit(student), unit(teacher)
    return (student @ student.T - teacher @ teacher.T).square()


def _others(count: int, device: torch.device) -> Tensor:
    return ~torch.eye(count, dtype=torch.bool, device=device)


def _mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of each row's chosen values, [n, m] -> [n]; 0 where there are none."""
    return (values * chosen).sum(dim=1) / chosen.sum(dim=1).clamp(min=1)
