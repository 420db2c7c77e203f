import math

import pytest
import torch

from distilrec.distil.losses.embeddings import item_alignment_contrastive, item_alignment_cosine
from distilrec.distil.losses.rows import sample_rows
from distilrec.errors import SettingsError

LOSSES = [item_alignment_cosine, item_alignment_contrastive]


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_cosine_of_items_by_hand():
    student, teacher = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), torch.tensor([[9.0, 0.0]] * 3)
    wanted = torch.tensor([0, 1 - math.sqrt(1 / 2), 1])
    torch.testing.assert_close(item_alignment_cosine(student, teacher), wanted)


def test_finding_ones_own_teacher_by_hand():
    # Cosines 1 with its own and 0 with the other; at temperature 1/2 logits 2 and 0.
    loss = item_alignment_contrastive(torch.eye(2) * 3, torch.eye(2), temperature=1 / 2)
    torch.testing.assert_close(loss, torch.full((2,), math.log(1 + math.exp(-2))))


def test_the_two_ways_differ_where_one_item_is_near_all():
    # Student's first item lies between both of the teacher's, so both of the student's find their teacher's unalike.
    student, teacher = torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.eye(2)
    one_way = item_alignment_contrastive(student, teacher, temperature=1, both_ways=False)
    near = math.sqrt(1 / 2)
    torch.testing.assert_close(one_way, torch.tensor([math.log(2), math.log(1 + math.exp(-1))]))
    back = torch.tensor([math.log(1 + math.exp(0 - near)), math.log(1 + math.exp(near - 1))])
    both = item_alignment_contrastive(student, teacher, temperature=1)
    torch.testing.assert_close(both, (one_way + back) / 2)


def test_a_literal_loop_gives_the_same():
    student, teacher = randn(5, 4), randn(5, 4, seed=1)
    cosines = [[(s @ t / s.norm() / t.norm()).item() / 0.1 for t in teacher] for s in student]
    there = [math.log(sum(map(math.exp, cosines[i]))) - cosines[i][i] for i in range(5)]
    back = [math.log(sum(math.exp(row[i]) for row in cosines)) - cosines[i][i] for i in range(5)]
    wanted = torch.tensor([(a + b) / 2 for a, b in zip(there, back, strict=True)])
    torch.testing.assert_close(item_alignment_contrastive(student, teacher), wanted)


@pytest.mark.parametrize("loss", LOSSES)
def test_lengths_do_not_matter(loss):
    student, teacher = randn(5, 4), randn(5, 4, seed=1)
    torch.testing.assert_close(loss(7 * student, teacher / 7), loss(student, teacher))


def test_a_direction_that_all_share_helps_the_cosine_alone():
    away = 100 * torch.ones(4)
    student, teacher = randn(5, 4) + away, randn(5, 4, seed=1) + away
    assert item_alignment_cosine(student, teacher).max() < 0.01
    assert item_alignment_contrastive(student, teacher).min() > math.log(5) - 0.1  # no better than guessing


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_right_and_reach_the_student_alone(loss):
    student = randn(3, 4, dtype=torch.float64).requires_grad_()
    teacher = randn(3, 4, seed=1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher.detach()), student)
    loss(student, teacher).sum().backward()
    assert teacher.grad is None


@pytest.mark.parametrize("loss", LOSSES)
def test_an_item_without_a_vector_gets_no_gradient(loss):
    student = torch.zeros(3, 4, requires_grad=True)
    loss(student, randn(3, 4)).sum().backward()
    assert student.grad.abs().sum() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_unlike_widths_and_items_are_refused(loss):
    with pytest.raises(SettingsError, match=r"item vectors are 64 wide and the teacher's 768; choose a projection"):
        loss(torch.zeros(2, 64), torch.zeros(2, 768))
    with pytest.raises(SettingsError, match=r"item vectors have shape \(2, 4\) and the teacher's \(3, 4\)"):
        loss(torch.zeros(2, 4), torch.zeros(3, 4))


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(SettingsError, match="temperature is 0; expected a number above 0"):
        item_alignment_contrastive(torch.zeros(2, 4), torch.zeros(2, 4), temperature=0)


def test_a_sample_has_no_repeats_is_ascending_and_comes_from_the_generator():
    def drawn(seed):
        return sample_rows(1000, 50, torch.Generator().manual_seed(seed), torch.device("cpu"))

    assert (drawn(0).diff() > 0).all()
    assert len(drawn(0)) == 50
    assert 0 <= drawn(0).min() <= drawn(0).max() < 1000
    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))


def test_few_rows_are_all_taken_without_a_draw():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert sample_rows(3, 3, generator, torch.device("cpu")).tolist() == [0, 1, 2]
    assert torch.equal(generator.get_state(), before)
