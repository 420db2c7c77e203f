"""A student's item table can start as its teacher's, in fewer numbers."""

import numpy as np
import pytest
import torch

from distilrec.distil.initialise import principal_directions, reduce_table, start_from_teacher
from distilrec.errors import SettingsError


def distances(table):
    return np.linalg.norm(table[:, None] - table[None], axis=2)


def test_the_direction_of_most_variation_comes_first():
    """Four points along the second axis, hardly apart along the first; the mean, (5, 1), is taken away."""
    table = np.array([[5, -2], [5, 0], [5.2, 2], [4.8, 4]], np.float32)
    reduced = reduce_table(table, 1)
    np.testing.assert_allclose(np.abs(reduced[:, 0]), [3, 1, 1, 3], atol=0.1)


def test_distances_are_kept_where_the_teacher_used_few_directions():
    draw = np.random.default_rng(0)
    table = (draw.normal(size=(20, 3)) @ draw.normal(size=(3, 8)) + 1).astype(np.float32)
    np.testing.assert_allclose(distances(reduce_table(table, 3)), distances(table), rtol=1e-4, atol=1e-4)


def test_the_signs_do_not_depend_on_chance():
    table = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    np.testing.assert_allclose(reduce_table(table, 2), reduce_table(table[::-1], 2)[::-1], atol=1e-4)


def test_principal_directions_are_of_length_one_and_at_right_angles():
    """Four points along (3, 4) / 5, and nothing else."""
    table = np.outer([-3, -1, 1, 3], [0.6, 0.8]).astype(np.float32)
    np.testing.assert_allclose(principal_directions(table, 1), [[0.6], [0.8]], rtol=1e-6)
    both = principal_directions(table, 2)
    np.testing.assert_allclose(both.T @ both, np.eye(2), atol=1e-6)


def test_a_student_table_is_written_over_in_place():
    teacher = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    table = torch.nn.Parameter(torch.zeros(6, 2))
    start_from_teacher(table, teacher)
    np.testing.assert_allclose(table.detach().numpy(), reduce_table(teacher, 2))
    assert table.requires_grad


@pytest.mark.parametrize(("shape", "most"), [((9, 4), 4), ((3, 9), 3)])
def test_a_student_wider_than_the_teacher_has_directions_is_refused(shape, most):
    message = f"no 5 principal directions; choose a student width of at most {most}, or do not start"
    with pytest.raises(SettingsError, match=message):
        reduce_table(np.zeros(shape, np.float32), 5)


def test_a_teacher_of_another_catalogue_is_refused():
    with pytest.raises(SettingsError, match="the teacher ranks 6 items, the student 7; expected the same catalogue"):
        start_from_teacher(torch.zeros(7, 2), np.zeros((6, 4), np.float32))
