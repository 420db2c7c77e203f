"""Soft labels within groups of equally popular items, worked out by hand."""

import math

import numpy as np
import pytest
import torch

from distilrec.distil.losses.popularity import grouped_soft_labels, popularity_groups
from distilrec.errors import SettingsError


def logs(*rows):
    return torch.tensor(rows, dtype=torch.float64).log()


TWO_GROUPS = torch.tensor([[0, 0, 1, 1]])


def test_an_even_student_pays_log_two_in_every_group_of_two():
    """Whatever the teacher says: its probabilities within a group sum to 1."""
    found = grouped_soft_labels(torch.zeros(1, 4), logs([0.4, 0.3, 0.2, 0.1]), TWO_GROUPS)
    assert found.tolist() == pytest.approx([math.log(2)])


def test_the_teachers_shares_are_taken_within_a_group():
    """3 : 1 in the first, 1 : 1 in the second; the student has 1 : 1 and 1 : 3."""
    found = grouped_soft_labels(logs([0.1, 0.1, 0.2, 0.6]), logs([0.6, 0.2, 0.1, 0.1]), TWO_GROUPS)
    first = math.log(2)
    second = -(math.log(1 / 4) + math.log(3 / 4)) / 2
    assert found.tolist() == pytest.approx([(first + second) / 2])


def test_a_taste_for_a_whole_group_is_neither_taught_nor_punished():
    """Everything of one group a hundred times as likely, on either side."""
    student, teacher = logs([0.1, 0.1, 0.2, 0.6]), logs([0.6, 0.2, 0.1, 0.1])
    wanted = grouped_soft_labels(student, teacher, TWO_GROUPS)
    popular = torch.tensor([[math.log(100)] * 2 + [0.0] * 2])
    torch.testing.assert_close(grouped_soft_labels(student, teacher + popular, TWO_GROUPS), wanted)
    torch.testing.assert_close(grouped_soft_labels(student + popular, teacher, TWO_GROUPS), wanted)


def test_temperature_softens_both_sides():
    """9 : 1 becomes 3 : 1 at temperature 2."""
    softened = grouped_soft_labels(logs([1, 1, 1, 9]), logs([9, 1, 1, 1]), TWO_GROUPS, temperature=2.0)
    wanted = grouped_soft_labels(logs([1, 1, 1, 3]), logs([3, 1, 1, 1]), TWO_GROUPS)
    torch.testing.assert_close(softened, wanted)


def test_a_group_of_one_listed_item_teaches_nothing():
    """The second row lists one of its second group; its loss is that of the first group alone. The third has none."""
    student, teacher = logs([1, 3, 1, 9]).expand(3, -1), logs([1, 1, 1, 1]).expand(3, -1)
    listed = torch.tensor([[True] * 4, [True, True, True, False], [True, False, True, False]])
    found = grouped_soft_labels(student, teacher, TWO_GROUPS.expand(3, -1), listed=listed)
    first = -(math.log(1 / 4) + math.log(3 / 4)) / 2
    second = -(math.log(1 / 10) + math.log(9 / 10)) / 2
    assert found.tolist() == pytest.approx([(first + second) / 2, first, 0])


def test_nothing_at_all_is_no_nan():
    assert grouped_soft_labels(torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0, 4, dtype=torch.int64)).shape == (0,)


def test_its_gradient_reaches_listed_items_of_the_student_alone():
    student = torch.zeros(1, 4, requires_grad=True)
    teacher = logs([0.6, 0.2, 0.1, 0.1]).float().requires_grad_()
    listed = torch.tensor([[True, True, False, False]])
    grouped_soft_labels(student, teacher, TWO_GROUPS, listed=listed).sum().backward()
    torch.testing.assert_close(student.grad, torch.tensor([[-1 / 4, 1 / 4, 0, 0]]))
    assert teacher.grad is None


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((1, 4), (1, 3), (1, 4)), {}, r"have shapes \(1, 4\), \(1, 3\) and \(1, 4\); expected \[R, K\] three"),
        (((4,), (4,), (4,)), {}, r"expected \[R, K\] three times"),
        (((1, 4), (1, 4), (1, 4)), {"temperature": 0}, r"temperature is 0; expected"),
    ],
)
def test_what_does_not_fit_is_refused(shapes, options, message):
    with pytest.raises(SettingsError, match=message):
        grouped_soft_labels(*(torch.zeros(shape, dtype=torch.int64) for shape in shapes), **options)


# ---- groups


def test_every_group_has_about_an_equal_share_of_all_events():
    """Of twelve events, six are of item 2; three of item 0 and three of the others."""
    assert popularity_groups(np.array([3, 1, 6, 1, 1]), 2).tolist() == [1, 1, 0, 1, 1]
    assert popularity_groups(np.array([3, 1, 6, 1, 1]), 4).tolist() == [2, 3, 0, 3, 3]  # item 2 is two groups by itself


def test_equal_counts_are_cut_in_order():
    assert popularity_groups(np.ones(6, np.int64), 3).tolist() == [0, 0, 1, 1, 2, 2]


def test_items_that_nobody_used_are_the_least_popular():
    assert popularity_groups(np.array([0, 2, 2, 0]), 2).tolist() == [1, 0, 1, 1]
    assert popularity_groups(np.zeros(3, np.int64), 2).tolist() == [0, 0, 0]


@pytest.mark.parametrize("groups", [1, 4])
def test_a_number_of_groups_that_makes_no_sense_is_refused(groups):
    with pytest.raises(SettingsError, match=f"groups is {groups}; expected 2 to the catalogue's 3 items"):
        popularity_groups(np.ones(3, np.int64), groups)
