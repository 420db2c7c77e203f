"""Losses on relations between the positions of one window: where each looks, and what it is like.

A teacher's maps lie in its knowledge as pairs `[sum of squared lengths, heads]`: each window's real square, row by
row, window after window. A student's are padded, `[B, heads, L, L]`. Every loss here gives a number a real position,
in the order of the batch, `[P]`: position `i` looks at itself and those before it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from distilrec.distil.losses.rows import wide
from distilrec.errors import KnowledgeError, SettingsError


def attention_transfer(
    student_shares: Tensor, teacher_pairs: Tensor, lengths: Tensor, *, kind: Literal["kl", "mse"] = "kl"
) -> Tensor:
    """How far each position's attention is from the teacher's, a number a position.

    `kl`: `sum_j t_ij log(t_ij / s_ij)`; `mse`: `sum_j (t_ij - s_ij)**2`; the mean over heads. Where the two have
    different numbers of heads, the maps are averaged over heads first.

    Source: attention transfer (Zagoruyko and Komodakis, ICLR 2017); for transformers TinyBERT (Jiao et al., Findings
    of EMNLP 2020), which takes squares of the scores before the softmax; the divergence is MiniLM's (Wang et al.,
    NeurIPS 2020).

    Args:
        student_shares: attention after the softmax, `[B, heads, L, L]`, padded on the right.
        teacher_pairs: an `attention.*` column of its knowledge, `[sum of lengths**2, heads]`.
        lengths: how many positions of each window are real, `[B]`.

    Needs the teacher's attention over the same windows: what a teacher that also sees later items gave them is left
    out, and the rest scaled to one. Beside `relation_kl` it teaches where to look, not what is found there. It fails
    quietly where heads are paired by number although head 1 of one does the work of head 2 of the other: choose
    layers with unlike numbers of heads, so that means are compared, or `relation_kl`.
    """
    teacher = _visible(teacher_pairs, student_shares, lengths)
    student = wide(student_shares)
    if student.shape[1] != teacher.shape[1]:
        student, teacher = (maps.mean(dim=1, keepdim=True) for maps in (student, teacher))
    if kind == "mse":
        each = (student - teacher).square().sum(dim=-1)  # [B, heads, L]
    elif kind == "kl":
        each = _divergence(teacher, student)
    else:
        raise SettingsError(f"attention transfer is by {kind!r}; expected kl or mse")
    return each.mean(dim=1)[_real(lengths, student.shape[-1])]


def relation_kl(student_shares: Tensor, teacher_pairs: Tensor, lengths: Tensor) -> Tensor:
    """How far each position's likeness to itself and those before it is from the teacher's, a number a position.

    `KL(softmax(A_T A_T^T / sqrt(d_T)) || softmax(A_S A_S^T / sqrt(d_S)))`, the mean over relation heads, where `A`
    are queries, keys, values or hidden states, split into as many heads for both: the widths need not agree.

    Source: MiniLM (Wang et al., NeurIPS 2020; values, and queries with keys) and MiniLMv2 (Findings of ACL 2021;
    each with itself, in relation heads).

    Args:
        student_shares: relations of one of its layers (`models.taps`), `[B, heads, L, L]`, padded on the right.
        teacher_pairs: a `relation.*` column of its knowledge, `[sum of lengths**2, heads]`.
        lengths: how many positions of each window are real, `[B]`.

    Needs the teacher's relations over the same windows. Beside `attention_transfer` it asks for the same number of
    heads, which are no layer's own: a relation has no head that means something else elsewhere. Beside
    `topology.relational_distances` it compares positions of one history, not rows of a batch. It fails quietly with
    short histories: the first position is like itself alone, so it teaches nothing, and the second hardly more.
    """
    if student_shares.shape[1:2] != teacher_pairs.shape[1:2]:
        raise SettingsError(
            f"the student's relations have {student_shares.shape[1]} heads and the teacher's "
            f"{teacher_pairs.shape[1]}; split the student's layer into {teacher_pairs.shape[1]} relation heads"
        )
    teacher = _visible(teacher_pairs, student_shares, lengths)
    each = _divergence(teacher, wide(student_shares)).mean(dim=1)  # [B, L]
    return each[_real(lengths, each.shape[1])]


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """KL of each map's rows, [B, heads, L, L] twice -> [B, heads, L]; what the teacher gives nothing counts nothing."""
    tiny = torch.finfo(student.dtype).tiny
    return (teacher * (teacher.clamp(min=tiny).log() - student.clamp(min=tiny).log())).sum(dim=-1)


def _visible(pairs: Tensor, student: Tensor, lengths: Tensor) -> Tensor:
    """A teacher's pairs padded like the student's, over what a position may see: [B, heads, L, L], rows of sum 1."""
    if student.ndim != 4 or student.shape[2] != student.shape[3] or pairs.ndim != 2:
        raise SettingsError(
            f"the student's maps have shape {tuple(student.shape)} and the teacher's pairs {tuple(pairs.shape)}; "
            "expected [B, heads, L, L] and [sum of squared lengths, heads]"
        )
    batch, _, length, _ = student.shape
    if lengths.shape != (batch,) or int(lengths.max().item() if batch else 0) > length:
        raise SettingsError(f"lengths {lengths.tolist()} do not fit {batch} windows of at most {length} positions")
    real = _real(lengths, length)
    squares = real[:, :, None] & real[:, None, :]  # [B, L, L]
    if int(squares.sum()) != len(pairs):
        raise KnowledgeError(
            f"the teacher has {len(pairs)} pairs of positions where the windows have {int(squares.sum())}; "
            "they are of other windows, or of windows that were changed"
        )
    wider = wide(student).dtype
    padded = torch.zeros((batch, length, length, pairs.shape[1]), dtype=wider, device=student.device)
    padded[squares] = pairs.detach().to(wider)
    seen = padded.permute(0, 3, 1, 2).tril()  # [B, heads, L, L]
    return seen / seen.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(wider).tiny)


def _real(lengths: Tensor, length: int) -> Tensor:
    """True at real positions, [B, L]."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]
