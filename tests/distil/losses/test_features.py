import math

import pytest
import torch
from torch.nn import functional as F

from distilrec.distil.losses.features import (
    DistillationExperts,
    Projection,
    annealed_temperature,
    hidden_cosine,
    hidden_mse,
)
from distilrec.errors import SettingsError

LOSSES = [hidden_mse, hidden_cosine]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def test_the_mean_squared_difference_of_each_row_by_hand():
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [3.0, 1.0]])
    assert hidden_mse(student, teacher, normalise="none").tolist() == [2.0, 5.0]  # (0 + 4) / 2, (9 + 1) / 2


def test_a_teachers_row_is_brought_to_mean_zero_and_variance_one():
    # [2, 6] is [-1, 1] once normalised.
    loss = hidden_mse(torch.tensor([[-1.0, 1.0], [0.0, 0.0]]), torch.tensor([[2.0, 6.0], [6.0, 2.0]]))
    torch.testing.assert_close(loss, torch.tensor([0.0, 1.0]), atol=1e-6, rtol=0)


def test_over_the_batch_one_scale_is_taken_away_and_the_rows_keep_their_lengths():
    teacher = torch.tensor([[3.0, 3.0], [1.0, -1.0]])  # mean square 5
    loss = hidden_mse(teacher / math.sqrt(5), teacher, normalise="batch")
    torch.testing.assert_close(loss, torch.zeros(2))


@pytest.mark.parametrize("normalise", ["row", "batch"])
def test_the_teachers_scale_does_not_matter(normalise):
    student, teacher = randn(5, 4), randn(5, 4, seed=1)
    one = hidden_mse(student, teacher, normalise=normalise)
    torch.testing.assert_close(hidden_mse(student, 100 * teacher, normalise=normalise), one, atol=1e-4, rtol=0)
    assert not torch.allclose(hidden_mse(10 * student, teacher, normalise=normalise), one)


def test_a_teacher_of_zeros_asks_for_zeros():
    assert hidden_mse(torch.zeros(2, 3), torch.zeros(2, 3), normalise="batch").tolist() == [0.0, 0.0]


def test_the_cosine_loss_is_zero_along_one_across_and_two_against():
    student = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    torch.testing.assert_close(hidden_cosine(student, torch.tensor([[3.0, 0.0]] * 3)), torch.tensor([0.0, 1.0, 2.0]))


def test_a_row_of_zeros_has_no_direction_and_gets_no_gradient():
    student = torch.tensor([[0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    loss = hidden_cosine(student, torch.ones(2, 2))
    loss.sum().backward()
    torch.testing.assert_close(loss.detach(), torch.tensor([1.0, 0.0]))
    assert student.grad[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_literal_loop_gives_the_same(loss):
    student, teacher = randn(6, 5), randn(6, 5, seed=1).half()
    wanted = []
    for s, t in zip(student, teacher.float(), strict=True):
        if loss is hidden_mse:
            t = (t - t.mean()) / (t.var(unbiased=False)).sqrt()
            wanted.append(sum((a - b) ** 2 for a, b in zip(s, t, strict=True)) / 5)
        else:
            wanted.append(1 - (s @ t) / s.norm() / t.norm())
    torch.testing.assert_close(loss(student, teacher), torch.stack(wanted))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_right_and_reach_the_student_alone(loss):
    student = randn(3, 4, dtype=torch.float64).requires_grad_()
    teacher = randn(3, 4, seed=1, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher.detach()), student)
    loss(student, teacher).sum().backward()
    assert teacher.grad is None


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_worked_on_in_single(loss):
    assert loss(randn(2, 4).bfloat16(), randn(2, 4).half()).dtype == torch.float32


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_that_do_not_fit_are_refused(loss):
    with pytest.raises(SettingsError, match=r"64 wide and the teacher's 768; choose a projection: linear, mlp or orth"):
        loss(torch.zeros(2, 64), torch.zeros(2, 768))
    with pytest.raises(SettingsError, match=r"shape \(2, 4\) and the teacher's \(3, 4\); expected \[R, _\]"):
        loss(torch.zeros(2, 4), torch.zeros(3, 4))
    with pytest.raises(SettingsError, match="row for row"):
        loss(torch.zeros(2, 4, 4), torch.zeros(2, 4, 4))


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(SettingsError, match="normalise is 'layer'; expected row, batch or none"):
        hidden_mse(torch.zeros(2, 4), torch.zeros(2, 4), normalise="layer")


@pytest.mark.parametrize("kind", ["linear", "mlp", "orthogonal"])
@pytest.mark.parametrize("widths", [(4, 7), (7, 4), (5, 5)])
def test_a_projection_goes_from_one_width_to_the_other(kind, widths):
    assert Projection(*widths, kind=kind)(randn(2, 3, widths[0])).shape == (2, 3, widths[1])


def test_identity_changes_nothing_and_has_nothing_to_learn():
    projection, student = Projection(4, 4, kind="identity"), randn(3, 4)
    assert projection(student) is student
    assert not list(projection.parameters())


def test_identity_between_unlike_widths_is_refused():
    message = "the student's width is 64 and the teacher's 768; choose a projection: linear, mlp or orthogonal"
    with pytest.raises(SettingsError, match=message):
        Projection(64, 768, kind="identity")


def test_an_unknown_projection_and_a_wrong_width_are_refused():
    with pytest.raises(SettingsError, match="projection is 'conv'; expected one of identity, linear, mlp, orthogonal"):
        Projection(4, 4, kind="conv")
    with pytest.raises(SettingsError, match="maps width 4; what came is 5 wide"):
        Projection(4, 6)(torch.zeros(2, 5))
    with pytest.raises(SettingsError, match="projection is 'linear'; only an orthogonal one is a matrix alone"):
        Projection(4, 6).matrix()


@pytest.mark.parametrize("widths", [(4, 7), (7, 4), (5, 5)])
def test_an_orthogonal_projection_stays_orthonormal_while_it_learns(widths):
    torch.manual_seed(0)
    projection = Projection(*widths, kind="orthogonal").double()
    before = projection.matrix().detach()
    optimiser = torch.optim.AdamW(projection.parameters(), lr=0.1, weight_decay=0.1)
    student, teacher = randn(20, widths[0], dtype=torch.float64), randn(20, widths[1], seed=1, dtype=torch.float64)
    losses = []
    for _ in range(20):
        loss = hidden_mse(projection(student), teacher).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    matrix = projection.matrix().detach()
    gram = matrix @ matrix.T if widths[0] < widths[1] else matrix.T @ matrix
    torch.testing.assert_close(gram, torch.eye(min(widths), dtype=torch.float64))
    assert not torch.allclose(matrix, before)
    assert losses[-1] < losses[0]


def test_into_a_wider_space_an_orthogonal_projection_keeps_lengths_and_angles():
    student = randn(6, 4)
    projected = Projection(4, 9, kind="orthogonal")(student)
    torch.testing.assert_close(projected @ projected.T, student @ student.T)


def test_the_orthogonal_projection_has_right_gradients():
    torch.manual_seed(0)
    projection, student = Projection(3, 5, kind="orthogonal").double(), randn(2, 3, dtype=torch.float64)

    def projected(free):
        return torch.func.functional_call(projection, {"free": free}, (student,))

    assert torch.autograd.gradcheck(projected, projection.free)


def test_shrinking_the_free_parameter_does_not_move_the_orthogonal_projection():
    projection = Projection(3, 5, kind="orthogonal")
    before = projection.matrix().detach()
    with torch.no_grad():
        projection.free.mul_(0.5)
    torch.testing.assert_close(projection.matrix(), before)


def test_one_expert_is_its_projection():
    experts, student, teacher = DistillationExperts(3, 5, experts=1), randn(4, 3), randn(4, 5, seed=1)
    torch.testing.assert_close(experts(student, teacher), experts.experts[0](student))


def test_experts_are_mixed_by_the_selector_when_not_training():
    experts, student, teacher = DistillationExperts(3, 5, experts=2).eval(), randn(4, 3), randn(4, 5, seed=1)
    for temperature in (1.0, 0.25):
        shares = F.softmax(experts.selector(teacher) / temperature, dim=1)
        wanted = shares[:, :1] * experts.experts[0](student) + shares[:, 1:] * experts.experts[1](student)
        torch.testing.assert_close(experts(student, teacher, temperature=temperature), wanted)


def test_near_temperature_zero_each_row_has_the_expert_of_its_group():
    experts, student, teacher = DistillationExperts(3, 5, experts=3).eval(), randn(4, 3), randn(4, 5, seed=1)
    wanted = torch.stack(
        [experts.experts[int(group)](s) for group, s in zip(experts.groups(teacher), student, strict=True)]
    )
    torch.testing.assert_close(experts(student, teacher, temperature=1e-8), wanted)


def test_the_noise_picks_experts_as_often_as_the_selector_says():
    # Gumbel noise: the most likely of log a + g is m with probability a_m. Here 3/4 and 1/4.
    experts = DistillationExperts(1, 1, experts=2)
    with torch.no_grad():
        experts.selector.weight.zero_()
        experts.selector.bias.copy_(torch.tensor([math.log(3), 0.0]))
        for number, expert in enumerate(experts.experts):
            for parameter in expert.parameters():
                parameter.zero_()
            expert.layers[-1].bias.fill_(number)
    picked = experts(torch.zeros(4000, 1), torch.zeros(4000, 1), temperature=1e-3, generator=seeded())
    assert picked.mean().item() == pytest.approx(1 / 4, abs=0.03)


def test_experts_draw_from_the_generator_that_is_given():
    experts, student, teacher = DistillationExperts(3, 5), randn(4, 3), randn(4, 5, seed=1)
    one, again, other = (experts(student, teacher, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_experts_and_their_selector_all_learn():
    experts, student = DistillationExperts(3, 5), randn(8, 3).requires_grad_()
    teacher = randn(8, 5, seed=1)
    hidden_mse(experts(student, teacher, generator=seeded()), teacher).mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in [*experts.parameters(), student])


def test_what_experts_cannot_do_is_refused():
    with pytest.raises(SettingsError, match="experts is 0; expected 1 or more"):
        DistillationExperts(3, 5, experts=0)
    with pytest.raises(SettingsError, match="the experts' temperature is 0; expected a number above 0"):
        DistillationExperts(3, 5)(torch.zeros(2, 3), torch.zeros(2, 5), temperature=0)
    with pytest.raises(SettingsError, match="the teacher gives 4 rows and the student 2; expected as many"):
        DistillationExperts(3, 5)(torch.zeros(2, 3), torch.zeros(4, 5))


def test_the_experts_temperature_falls_by_equal_factors():
    assert [annealed_temperature(p, begin=1, end=0.01) for p in (0, 0.5, 1, 2)] == pytest.approx([1, 0.1, 0.01, 0.01])
    with pytest.raises(SettingsError, match="the temperature at the end is 0; expected a number above 0"):
        annealed_temperature(0.5, end=0)
