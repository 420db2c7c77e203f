import math

import pytest
import torch
from torch.nn import functional as F

from distilrec.distil.losses.regularisers import (
    entropy_regulariser,
    logit_mse,
    view_consistency,
    view_consistency_contrastive,
)
from distilrec.distil.losses.trust import entropy
from distilrec.errors import SettingsError

LISTED = torch.tensor([[True, True, True, False], [True, True, False, False], [True] * 4])


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def target_entropy(logits, **options):
    return entropy_regulariser(logits, teacher_entropy=torch.tensor([0.5, 0.2, 1.0]).to(logits), **options)


def to_a_teacher(logits, **options):
    return logit_mse(logits, randn(3, 4, seed=1).to(logits), **options)


def to_a_view(logits, **options):
    return view_consistency(logits, randn(3, 4, seed=1).to(logits), **options)


every_loss = pytest.mark.parametrize("loss", [entropy_regulariser, target_entropy, to_a_teacher, to_a_view])


def test_being_sure_costs_one_and_being_even_nothing():
    # Two of four items alike: log 2 / log 4 = 1/2.
    logits = torch.tensor([[0.0, 0, 0, 0], [50, 50, 0, 0], [200, 0, 0, 0]])
    torch.testing.assert_close(entropy_regulariser(logits), torch.tensor([0, 1 / 2, 1]))


def test_towards_a_teachers_entropy_by_hand():
    logits = torch.tensor([[50.0, 50, 0, 0]] * 3)
    wanted = torch.tensor([math.log(4), math.log(2), 0])
    found = entropy_regulariser(logits, teacher_entropy=wanted)
    torch.testing.assert_close(found, torch.tensor([1 / 4, 0, 1 / 4]))  # (1/2 - 1)**2, (1/2 - 1/2)**2, (1/2 - 0)**2


def test_as_sure_as_the_teacher_costs_nothing_even_of_another_item():
    teacher = randn(5, 6)
    student = teacher.roll(1, dims=1)
    found = entropy_regulariser(student, teacher_entropy=entropy(torch.softmax(teacher, dim=1)))
    torch.testing.assert_close(found, torch.zeros(5))


def test_a_temperature_evens_the_student_out():
    logits = randn(3, 5)
    torch.testing.assert_close(entropy_regulariser(logits, temperature=2), entropy_regulariser(logits / 2))
    with pytest.raises(SettingsError, match="temperature is 0; expected a number above 0"):
        entropy_regulariser(logits, temperature=0)


def test_squares_of_logits_by_hand():
    student, teacher = torch.tensor([[1.0, 2.0, 6.0]]), torch.tensor([[0.0, 0.0, 0.0]])
    assert logit_mse(student, teacher, centred=False).tolist() == pytest.approx([41 / 3])  # (1 + 4 + 36) / 3
    assert logit_mse(student, teacher).tolist() == pytest.approx([14 / 3])  # less 3: (4 + 1 + 9) / 3


def test_a_number_added_to_a_row_is_seen_only_where_it_is_not_centred():
    student, teacher = randn(3, 4), randn(3, 4, seed=1)
    torch.testing.assert_close(logit_mse(student + 5, teacher), logit_mse(student, teacher))
    torch.testing.assert_close(logit_mse(teacher + 5, teacher, centred=False), torch.full((3,), 25.0))


def test_two_views_by_hand_and_the_same_both_ways():
    # p = [1/2, 1/2], q = [1/4, 3/4]: (p - q) (log p - log q) is log(2) / 4 + log(3/2) / 4.
    first, second = torch.zeros(1, 2), torch.tensor([[0.0, math.log(3)]])
    wanted = torch.tensor([math.log(3) / 8])
    torch.testing.assert_close(view_consistency(first, second), wanted)
    torch.testing.assert_close(view_consistency(second, first), wanted)


def test_two_views_are_both_pulled():
    first, second = randn(2, 4).requires_grad_(), randn(2, 4, seed=1).requires_grad_()
    view_consistency(first, second).sum().backward()
    assert first.grad.abs().sum() > 0
    assert second.grad.abs().sum() > 0


@every_loss
def test_what_is_not_listed_does_not_count(loss):
    """A row of a list is worth what the list alone is worth, whatever stands after its end."""
    logits = randn(3, 4).masked_fill(~LISTED, float("-inf"))
    found = loss(logits, listed=LISTED)
    for row, n in enumerate([3, 2, 4]):
        teacher = randn(3, 4, seed=1)[row : row + 1, :n]
        alone = {
            entropy_regulariser: lambda z: entropy_regulariser(z),
            target_entropy: lambda z, at=row: entropy_regulariser(
                z, teacher_entropy=torch.tensor([[0.5, 0.2, 1.0][at]])
            ),
            to_a_teacher: lambda z, t=teacher: logit_mse(z, t),
            to_a_view: lambda z, t=teacher: view_consistency(z, t),
        }[loss]
        torch.testing.assert_close(found[row], alone(logits[row : row + 1, :n])[0])


@every_loss
def test_gradients_are_right_with_and_without_lists(loss):
    logits = randn(3, 4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(loss, logits)
    assert torch.autograd.gradcheck(lambda z: loss(z, listed=LISTED), logits)
    loss(logits, listed=LISTED).sum().backward()
    assert (logits.grad[~LISTED] == 0).all()


@every_loss
def test_empty_lists_give_zeros_and_finite_gradients(loss):
    logits = randn(3, 4).requires_grad_()
    found = loss(logits, listed=torch.zeros(3, 4, dtype=torch.bool))
    found.sum().backward()
    assert found.tolist() == [0, 0, 0]
    assert (logits.grad == 0).all()


@every_loss
def test_logits_that_do_not_fit_are_refused(loss):
    with pytest.raises(
        SettingsError, match=r"listed has shape \(3, 3\) of torch.bool; expected \(3, 4\) of torch.bool"
    ):
        loss(randn(3, 4), listed=LISTED[:, :3])
    with pytest.raises(SettingsError, match=r"of torch.int64; expected \(3, 4\) of torch.bool"):
        loss(randn(3, 4), listed=LISTED.long())


def test_one_candidate_is_nothing_to_choose_from():
    for call in (
        lambda z: entropy_regulariser(z),
        lambda z: logit_mse(z, z),
        lambda z: view_consistency(z, z),
    ):
        with pytest.raises(SettingsError, match=r"logits have shape \(3, 1\); expected \[R, K\] of at least two items"):
            call(randn(3, 1))


def test_two_sides_of_unlike_shapes_are_refused():
    with pytest.raises(
        SettingsError, match=r"shape \(3, 4\) and the teacher's \(3, 5\); expected \[R, K\] twice, of the"
    ):
        logit_mse(randn(3, 4), randn(3, 5))
    with pytest.raises(
        SettingsError, match=r"views' logits have shapes \(3, 4\) and \(3, 5\); expected \[R, K\] twice"
    ):
        view_consistency(randn(3, 4), randn(3, 5))
    with pytest.raises(SettingsError, match=r"teacher's entropy has shape \(2,\); expected \(3,\), one a row"):
        entropy_regulariser(randn(3, 4), teacher_entropy=torch.zeros(2))


def test_finding_ones_other_view_by_hand():
    # Views alike, rows at right angles: logit 2 for one's own, 0 for both views of the other row; oneself is left out.
    views = torch.eye(2)
    loss = view_consistency_contrastive(views, 3 * views, temperature=1 / 2)
    torch.testing.assert_close(loss, torch.full((2,), math.log(1 + 2 * math.exp(-2))))


def test_a_literal_loop_gives_the_same_with_and_without_owners():
    first, second = randn(4, 3), randn(4, 3, seed=1)
    for owners in (None, torch.tensor([5, 5, 2, 3])):
        views, kinds = F.normalize(torch.cat([first, second])), list(range(4)) if owners is None else owners.tolist()
        losses = []
        for i in range(8):
            other = (i + 4) % 8
            seen = [j for j in range(8) if j == other or kinds[j % 4] != kinds[i % 4]]
            logits = [(views[i] @ views[j]).item() / 0.1 for j in seen]
            losses.append(math.log(sum(map(math.exp, logits))) - (views[i] @ views[other]).item() / 0.1)
        wanted = torch.tensor([(losses[i] + losses[i + 4]) / 2 for i in range(4)])
        torch.testing.assert_close(view_consistency_contrastive(first, second, owners=owners), wanted)


def test_histories_of_one_owner_alone_have_nothing_to_be_told_from():
    loss = view_consistency_contrastive(randn(4, 3), randn(4, 3, seed=1), owners=torch.zeros(4))
    assert loss.tolist() == [0, 0, 0, 0]


def test_the_contrastive_gradients_are_right_for_both_views():
    views = [randn(3, 4, seed=seed, dtype=torch.float64).requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradcheck(view_consistency_contrastive, views)


def test_at_most_so_many_histories_are_compared():
    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        owners = torch.arange(9)
        return view_consistency_contrastive(
            randn(9, 3), randn(9, 3, seed=1), owners=owners, at_most=4, generator=generator
        )

    assert drawn(0).shape == (4,)
    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))


def test_views_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match=r"two views have shapes \(2, 3\) and \(2, 4\); expected \[R, D\] twice"):
        view_consistency_contrastive(randn(2, 3), randn(2, 4))
    with pytest.raises(SettingsError, match=r"owners have shape \(3,\); expected \(2,\), one a row"):
        view_consistency_contrastive(randn(2, 3), randn(2, 3), owners=torch.zeros(3))
    with pytest.raises(SettingsError, match="temperature is 0; expected a number above 0"):
        view_consistency_contrastive(randn(2, 3), randn(2, 3), temperature=0)
