import math

import pytest
import torch

from distilrec.distil.losses.topology import (
    full_topology,
    hierarchical_topology,
    kmeans_groups,
    relational_angles,
    relational_distances,
)
from distilrec.errors import SettingsError

GROUPS = torch.tensor([7, 2, 7, 2, 2, 9])


def by_rows(student, teacher, **options):
    return hierarchical_topology(student, teacher, GROUPS[: len(student)], **options)


def by_groups(student, teacher, **options):
    return hierarchical_topology(student, teacher, GROUPS[: len(student)], between="groups", **options)


LOSSES = [relational_distances, relational_angles, full_topology, by_rows, by_groups]
every_loss = pytest.mark.parametrize("loss", LOSSES)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def turned(vectors):
    return vectors @ torch.linalg.qr(randn(vectors.shape[1], vectors.shape[1], seed=9, dtype=vectors.dtype))[0]


def huber(difference):
    return 0.5 * difference**2 if abs(difference) < 1 else abs(difference) - 0.5


def cosine(a, b):
    return (a @ b / a.norm() / b.norm()).item()


def literal(loss, student, teacher):
    """The formulas of the docstrings, one pair or triple at a time."""
    n, found = len(student), []
    groups = {g: [i for i in range(n) if GROUPS[i] == g] for g in GROUPS[:n].tolist()}
    middle = [{g: x[rows].mean(0) for g, rows in groups.items()} for x in (student, teacher)]
    scale = [sum((a - b).norm().item() for a in x for b in x) / (n * (n - 1)) for x in (student, teacher)]
    for i in range(n):
        others, own = [j for j in range(n) if j != i], GROUPS[i].item()
        if loss is relational_distances:
            sides = ((student, scale[0]), (teacher, scale[1]))
            near = [[(x[i] - x[j]).norm().item() / mean for j in others] for x, mean in sides]
            found.append([huber(a - b) for a, b in zip(*near, strict=True)])
        elif loss is relational_angles:
            corners = [(j, k) for j in others for k in others if j != k]
            seen = [[cosine(x[j] - x[i], x[k] - x[i]) for j, k in corners] for x in (student, teacher)]
            found.append([huber(a - b) for a, b in zip(*seen, strict=True)])
        elif loss is full_topology:
            found.append([(cosine(student[i], student[j]) - cosine(teacher[i], teacher[j])) ** 2 for j in others])
        else:
            mates = [j for j in groups[own] if j != i]
            within = [(cosine(student[i], student[j]) - cosine(teacher[i], teacher[j])) ** 2 for j in mates]
            if loss is by_rows:
                ends = [(cosine(student[i], middle[0][g]), cosine(teacher[i], middle[1][g])) for g in groups]
            else:
                ends = [[cosine(m[own], m[g]) for m in middle] for g in groups if g != own]
            across = [(a - b) ** 2 for a, b in ends]
            found.append([sum(within) / max(1, len(within)) + sum(across) / len(across)])
    return torch.tensor([sum(row) / len(row) for row in found])


@every_loss
def test_a_literal_loop_gives_the_same(loss):
    student, teacher = randn(6, 3), randn(6, 5, seed=1)
    torch.testing.assert_close(loss(student, teacher), literal(loss, student, teacher))


@every_loss
def test_equal_rows_lose_nothing(loss):
    torch.testing.assert_close(loss(randn(6, 4), randn(6, 4)), torch.zeros(6))


@every_loss
def test_turning_and_scaling_change_nothing(loss):
    student, teacher = randn(6, 4), randn(6, 5, seed=1)
    torch.testing.assert_close(loss(100 * turned(student), turned(teacher) / 100), loss(student, teacher))


@pytest.mark.parametrize("loss", [relational_distances, relational_angles])
def test_distances_and_angles_do_not_see_a_move(loss):
    student, teacher = randn(6, 4), randn(6, 5, seed=1)
    torch.testing.assert_close(loss(student + 1, teacher - 2), loss(student, teacher), atol=1e-5, rtol=1e-4)


def test_full_topology_does_not_see_the_length_of_a_row_and_distances_do():
    student, teacher = randn(6, 4), randn(6, 5, seed=1)
    longer = student * torch.tensor([1.0, 2, 3, 4, 5, 6])[:, None]
    torch.testing.assert_close(full_topology(longer, teacher), full_topology(student, teacher))
    assert not torch.allclose(relational_distances(longer, teacher), relational_distances(student, teacher))


def test_distances_by_hand():
    # On a line at 0, 1, 3 the distances are 1, 3, 2: mean 2. The teacher's three are alike: 1 each.
    student, teacher = torch.tensor([[0.0], [1.0], [3.0]]), torch.eye(3)
    # Differences by row: (1/2, 3/2), (1/2, 1), (3/2, 1), each less 1; huber halves their squares.
    wanted = torch.tensor([1 / 4 + 1 / 4, 1 / 4 + 0, 1 / 4 + 0]) / 4
    torch.testing.assert_close(relational_distances(student, teacher), wanted)


def test_angles_by_hand():
    # A right angle at the first row, 45 degrees at the others, against 60 degrees everywhere.
    student, teacher = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.eye(3)
    at_others = (math.sqrt(1 / 2) - 1 / 2) ** 2 / 2
    wanted = torch.tensor([1 / 8, at_others, at_others])
    torch.testing.assert_close(relational_angles(student, teacher), wanted)


def test_full_topology_by_hand():
    # The student's rows are alike, the teacher's at right angles: (1 - 0)**2.
    assert full_topology(torch.ones(3, 2), torch.eye(3)).tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_hierarchy_by_hand():
    # Two groups of two, at right angles in the teacher, opposite in the student: all is well but between the groups.
    student = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    groups = torch.tensor([0, 0, 1, 1])
    # A row and the two groups' means: (1 - 1)**2 and (-1 - 0)**2. Groups among themselves: (-1 - 0)**2 alone.
    assert hierarchical_topology(student, teacher, groups).tolist() == [1 / 2] * 4
    assert hierarchical_topology(student, teacher, groups, between="groups").tolist() == [1.0] * 4


@every_loss
def test_gradients_are_right_and_reach_the_student_alone(loss):
    student = randn(6, 3, dtype=torch.float64).requires_grad_()
    teacher = randn(6, 4, seed=1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher.detach()), student)
    loss(student, teacher).sum().backward()
    assert teacher.grad is None


@every_loss
def test_rows_in_one_place_get_a_gradient_that_is_finite_and_small(loss):
    # The first positions of two histories that begin alike have one vector.
    student = randn(6, 3)
    student[1], student[2] = student[0], 0
    student.requires_grad_()
    loss(student, randn(6, 4, seed=1)).sum().backward()
    assert student.grad.abs().max() < 100


@every_loss
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_are_not_nonsense(loss, rows):
    found = loss(randn(rows, 3).requires_grad_(), randn(rows, 4, seed=1))
    assert found.shape == (rows,)
    assert found.isfinite().all()
    assert found.requires_grad
    if rows < 2:
        torch.testing.assert_close(found.detach(), torch.zeros(rows))


@every_loss
def test_at_most_so_many_rows_are_drawn_by_the_generator(loss):
    student, teacher = randn(6, 3), randn(6, 5, seed=1)
    one, again, other = (loss(student, teacher, at_most=4, generator=seeded(seed)) for seed in (1, 1, 5))
    assert one.shape == (4,)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    with pytest.raises(SettingsError, match="at most 0 rows were asked for; expected 1 or more"):
        loss(student, teacher, at_most=0)


@every_loss
def test_rows_that_are_not_the_same_are_refused(loss):
    with pytest.raises(
        SettingsError, match=r"vectors have shape \(6, 3\) and the teacher's \(5, 3\); expected \[R, _\]"
    ):
        loss(torch.zeros(6, 3), torch.zeros(5, 3))


def test_groups_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match=r"groups have shape \(2,\); expected \(3,\), one a row"):
        hierarchical_topology(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(SettingsError, match="between is 'items'; expected rows or groups"):
        hierarchical_topology(torch.zeros(3, 2), torch.zeros(3, 2), torch.arange(3), between="items")


def test_k_means_finds_groups_by_direction():
    directions = torch.eye(3).repeat_interleave(20, dim=0)
    vectors = (directions + 0.1 * randn(60, 3)) * torch.linspace(1, 50, 60)[:, None]
    found = kmeans_groups(vectors, groups=3, generator=seeded(2)).view(3, 20)
    assert (found == found[:, :1]).all()
    assert len(found[:, 0].unique()) == 3


def test_k_means_with_a_group_that_loses_its_rows_goes_on():
    assert kmeans_groups(torch.ones(5, 2), groups=3, generator=seeded()).tolist() == [0] * 5
    with pytest.raises(SettingsError, match=r"0 groups of \(5, 2\) vectors; expected 1 or more, of \[R, D\]"):
        kmeans_groups(torch.ones(5, 2), groups=0)
