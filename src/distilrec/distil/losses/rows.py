"""What the losses on rows share: a student's row beside a teacher's, made sure to be of one shape."""

from __future__ import annotations

import torch
from torch import Tensor

from distilrec.errors import SettingsError

_SMALLEST_LENGTH = 1e-8
NEVER = -1e30  # as a logit: no share, and none of the NaN that infinity leaves


def wide(values: Tensor) -> Tensor:
    """float32, or float64 where it is that already: sums of half-precision numbers go wrong."""
    return values if values.dtype == torch.float64 else values.float()


def same_rows(student: Tensor, teacher: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """Both in the student's precision, the teacher without gradients; refused unless they have the same rows [R, _]."""
    if student.ndim != 2 or teacher.ndim != 2 or len(student) != len(teacher):
        raise SettingsError(
            f"the student's {what} have shape {tuple(student.shape)} and the teacher's {tuple(teacher.shape)}; "
            "expected [R, _] and [R, _] with the same R, row for row"
        )
    student = wide(student)
    return student, teacher.detach().to(student.dtype)


def same_shape(student: Tensor, teacher: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """`same_rows` of one width."""
    student, teacher = same_rows(student, teacher, what)
    if student.shape[1] != teacher.shape[1]:
        raise SettingsError(
            f"the student's {what} are {student.shape[1]} wide and the teacher's {teacher.shape[1]}; "
            "choose a projection: linear, mlp or orthogonal"
        )
    return student, teacher


def unit(vectors: Tensor) -> Tensor:
    """Each vector at length 1; one of no length stays zero and gets no gradient, which dividing would make huge."""
    length = vectors.norm(dim=-1, keepdim=True)
    known = length > _SMALLEST_LENGTH
    return torch.where(known, vectors / torch.where(known, length, 1), 0)


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Between vectors pair by pair, [..., D] and [..., D] to [...]; 0, without a gradient, where one has no length."""
    lengths = first.norm(dim=-1) * second.norm(dim=-1)
    known = lengths > _SMALLEST_LENGTH
    return torch.where(known, (first * second).sum(dim=-1) / torch.where(known, lengths, 1), 0)


def sample_rows(count: int, at_most: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """At most so many of `count` rows, drawn without repeats, ascending; all of them, and no draw, where they are few.

    Without a generator the draw depends on torch's own seed, as dropout does.
    """
    if at_most < 1:
        raise SettingsError(f"at most {at_most} rows were asked for; expected 1 or more")
    if count <= at_most:
        return torch.arange(count, device=device)
    drawn = torch.randperm(count, generator=generator, device=generator.device if generator else "cpu")
    return drawn[:at_most].sort().values.to(device)


def above_zero(name: str, value: float) -> None:
    """Refuse a temperature of 0, a negative one and NaN."""
    if not value > 0:
        raise SettingsError(f"{name} is {value}; expected a number above 0")
