"""Losses on features: a student's hidden states against a teacher's, and what maps one width onto the other.

The maps train with the student and are dropped when it is saved: nothing of them ships.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.distil.losses.rows import above_zero, cosines, same_shape, wide
from distilrec.errors import SettingsError

ProjectionKind = Literal["identity", "linear", "mlp", "orthogonal"]
_SMALLEST_VARIANCE = 1e-8  # torch's own, 1e-5, is no longer small beside states of an untuned network


def hidden_mse(student: Tensor, teacher: Tensor, *, normalise: Literal["row", "batch", "none"] = "row") -> Tensor:
    """The mean squared difference of hidden states, a number a position.

    `mean_h (s_h - n(t)_h)**2`, where `n` takes the teacher's scale away: to mean 0 and variance 1 within each row
    (`row`), to a mean square of 1 over the batch (`batch`), or not at all (`none`).

    Source: FitNets (Romero et al., ICLR 2015), with the teacher normalised as in VkD (Miles et al., CVPR 2024).

    Args:
        student: `[P, H]`, after a projection where the widths differ.
        teacher: `[P, H]`, a `hidden.*` column of its knowledge.

    Needs the teacher's hidden states at the same positions. Beside `hidden_cosine` it also asks for the length of a
    vector (in `row`: one length for all). It fails quietly with a mighty projection: an `mlp` can learn the map
    alone, so that the loss falls and the student's states stay what they were; and with `none`, where one large
    dimension of a language model is most of the loss.
    """
    student, teacher = same_shape(student, teacher, "hidden states")
    if normalise == "row":
        teacher = F.layer_norm(teacher, teacher.shape[1:], eps=_SMALLEST_VARIANCE)
    elif normalise == "batch":
        teacher = teacher / teacher.square().mean().sqrt().clamp(min=torch.finfo(teacher.dtype).tiny)
    elif normalise != "none":
        raise SettingsError(f"normalise is {normalise!r}; expected row, batch or none")
    return (student - teacher).square().mean(dim=1)


def hidden_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine between hidden states, 0 to 2, a number a position.

    `1 - s . t / (|s| |t|)`; a row of zeros counts 1 and gets no gradient.

    Source: DistilBERT's third loss (Sanh et al., EMC2 2019).

    Args:
        student: `[P, H]`, after a projection where the widths differ.
        teacher: `[P, H]`, a `hidden.*` column of its knowledge.

    Needs the teacher's hidden states at the same positions. Unlike `hidden_mse` it leaves lengths free. It fails
    quietly where the teacher's vectors all point one way, as a language model's do before whitening: then the loss is
    small at once, and what is left of it is what they have in common.
    """
    student, teacher = same_shape(student, teacher, "hidden states")
    return 1 - cosines(student, teacher)


class Projection(nn.Module):
    """From the student's width to the teacher's: `[..., H_student]` to `[..., H_teacher]`.

    - `linear`: a matrix and a bias. The usual choice.
    - `orthogonal`: a matrix with orthonormal columns (rows, where the student is the wider one), so that it cannot
      stretch, squeeze or learn anything but where to look: all other change must come from the student. VkD (Miles
      et al., CVPR 2024). The loss need not reach 0: a narrow student fills only part of a wide space. The
      orthonormal factor of a parameter is taken in each step (QR), so it is exact, and weight decay does not move it.
    - `mlp`: two layers; it can learn most of the map by itself, which teaches the student less.
    - `identity`: nothing, for widths that agree.
    """

    def __init__(self, student_width: int, teacher_width: int, *, kind: ProjectionKind = "linear") -> None:
        super().__init__()
        if kind not in get_args(ProjectionKind):
            raise SettingsError(f"projection is {kind!r}; expected one of {', '.join(get_args(ProjectionKind))}")
        if kind == "identity" and student_width != teacher_width:
            raise SettingsError(
                f"the student's width is {student_width} and the teacher's {teacher_width}; "
                "choose a projection: linear, mlp or orthogonal"
            )
        self.widths, self.kind = (student_width, teacher_width), kind
        middle = (student_width + teacher_width) // 2
        self.layers = nn.Sequential()
        if kind == "linear":
            self.layers.append(nn.Linear(student_width, teacher_width))
        if kind == "mlp":
            self.layers.extend([nn.Linear(student_width, middle), nn.ReLU(), nn.Linear(middle, teacher_width)])
        if kind == "orthogonal":
            self.free = nn.Parameter(nn.init.orthogonal_(torch.empty(max(self.widths), min(self.widths))))

    def forward(self, student: Tensor) -> Tensor:
        """[..., H_student] -> [..., H_teacher]"""
        if student.shape[-1] != self.widths[0]:
            raise SettingsError(f"the projection maps width {self.widths[0]}; what came is {student.shape[-1]} wide")
        if self.kind == "orthogonal":
            return student @ self.matrix().to(student.dtype)
        projected: Tensor = self.layers(student)
        return projected

    def matrix(self) -> Tensor:
        """The orthogonal projection itself, [H_student, H_teacher]."""
        if self.kind != "orthogonal":
            raise SettingsError(f"projection is {self.kind!r}; only an orthogonal one is a matrix alone")
        q, triangle = torch.linalg.qr(wide(self.free))  # [wider, narrower], [narrower, narrower]
        columns: Tensor = q * torch.where(triangle.diagonal() < 0, -1, 1)  # else columns would jump from sign to sign
        return columns if self.widths[0] >= self.widths[1] else columns.T


class DistillationExperts(nn.Module):
    """Several projections, each for some of the teacher's rows: `[P, H_student]` to `[P, H_teacher]`.

    `sum_m z_m E_m(s)`, where each expert `E_m` is two layers and `z = softmax((log a(t) + g) / T)` picks one of them
    by the teacher's row: `a` is a softmax layer and `g` Gumbel noise. At a temperature near 0 each row has one expert.

    Source: DE of DE-RRD (Kang et al., CIKM 2020), whose loss is `hidden_mse` of what comes out. HTD (Kang et al.,
    KDD 2021) learns its preference groups in the same way; `groups` gives them.

    Needs the teacher's hidden states or vectors. A plain `mlp` projection is one expert, in which rows of unlike
    tastes are mixed. It fails quietly where one expert takes all rows (count `groups`), or where the temperature
    never falls and every row gets the mean of all. Slow: as many `mlp` projections as there are experts.
    """

    def __init__(self, student_width: int, teacher_width: int, *, experts: int = 5) -> None:
        super().__init__()
        if experts < 1:
            raise SettingsError(f"experts is {experts}; expected 1 or more")
        self.experts = nn.ModuleList(Projection(student_width, teacher_width, kind="mlp") for _ in range(experts))
        self.selector = nn.Linear(teacher_width, experts)

    def forward(
        self,
        student: Tensor,
        teacher: Tensor,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """[P, H_student], [P, H_teacher] -> [P, H_teacher]; without noise unless training.

        The noise comes from the generator, or depends on torch's own seed, as dropout does.
        """
        above_zero("the experts' temperature", temperature)
        logits = F.log_softmax(self.selector(_rows_for(teacher, student)), dim=1)  # [P, experts]
        if self.training:
            noise = torch.empty(logits.shape, device=generator.device if generator else logits.device)
            logits = logits - noise.exponential_(generator=generator).log().to(logits)  # Gumbel's
        chosen = torch.softmax(logits / temperature, dim=1)  # [P, experts]
        answers = torch.stack([expert(student) for expert in self.experts], dim=1)  # [P, experts, H_teacher]
        return torch.einsum("pe,peh->ph", chosen, answers)

    def groups(self, teacher: Tensor) -> Tensor:
        """Which expert each row of the teacher would have, [P]."""
        with torch.no_grad():
            logits: Tensor = self.selector(teacher.to(self.selector.weight.dtype))
            return logits.argmax(dim=1)


def annealed_temperature(progress: float, *, begin: float = 1.0, end: float = 0.01) -> float:
    """From `begin` to `end` as training goes from 0 to 1: `begin * (end / begin)**progress` (DE-RRD, section 3.1)."""
    above_zero("the temperature at the begin", begin)
    above_zero("the temperature at the end", end)
    return float(begin * (end / begin) ** min(max(progress, 0.0), 1.0))


def _rows_for(teacher: Tensor, student: Tensor) -> Tensor:
    if len(teacher) != len(student):
        raise SettingsError(f"the teacher gives {len(teacher)} rows and the student {len(student)}; expected as many")
    return teacher.detach().to(student.dtype)
