"""Ranking losses against literal double loops, by hand, and for what must not change them."""

import math

import pytest
import torch

from distilrec.distil.losses.correction import dual_correction
from distilrec.distil.losses.ranking import (
    collaborative_distillation,
    estimated_ranks,
    in_teachers_order,
    k_plackett,
    margin_ranking,
    ranking_distillation,
    relaxed_ranking,
)
from distilrec.errors import SettingsError

R, K, L = 7, 6, 4
RANKS = torch.tensor([0, 5, 1, 40, 4, 11])


def seeded():
    return torch.Generator().manual_seed(0)


# Every loss as a function of student's and teacher's scores of K listed items, of L more items, and of two masks.
LOSSES = {
    "RD": lambda s, t, u, m, n: ranking_distillation(s, listed=m, decay=3.0),
    "RD, by discrepancy": lambda s, t, u, m, n: ranking_distillation(s, listed=m, student_ranks=RANKS.expand_as(s)),
    "RRD": lambda s, t, u, m, n: relaxed_ranking(s, u, listed=m, uninteresting_listed=n),
    "k-Plackett, all": lambda s, t, u, m, n: k_plackett(s, t, listed=m),
    "k-Plackett, three": lambda s, t, u, m, n: k_plackett(s, t, k=3, listed=m),
    "k-Plackett, with more below": lambda s, t, u, m, n: k_plackett(s, t, k=2, rest_logits=u, listed=m, rest_listed=n),
    "k-Plackett, drawn": lambda s, t, u, m, n: k_plackett(
        s, 9 * t, listed=m, rest_logits=t[:, :2].to(s.dtype) - 9, n_orders=3, generator=seeded()
    ),
    "margin": lambda s, t, u, m, n: margin_ranking(s, u, listed=m, rest_listed=n, margin=0.7),
    "CD": lambda s, t, u, m, n: collaborative_distillation(s, t, listed=m, temperature=2.0, offset=0.5),
    "DCD": lambda s, t, u, m, n: dual_correction(s, listed=m, generator=seeded()),
    "DCD, any order": lambda s, t, u, m, n: dual_correction(s, t, listed=m, generator=seeded()),
}
each_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@pytest.fixture
def lists():
    """Student's scores, teacher's (best first), the student's of others, and both masks: a short and an empty row."""
    torch.manual_seed(0)
    lengths = torch.tensor([6, 6, 6, 3, 1, 0, 6])
    return (
        torch.randn(R, K, dtype=torch.float64),
        torch.randn(R, K, dtype=torch.float64).sort(dim=1, descending=True).values,
        torch.randn(R, L, dtype=torch.float64),
        torch.arange(K) < lengths[:, None],
        torch.arange(L) < torch.tensor([4, 2, 0, 4, 1, 4, 0])[:, None],
    )


def plackett(scores, rest, k):
    """The mean over the first k of -log P(drawn before all that follow), one at a time."""
    terms = []
    for i in range(min(k, len(scores))):
        below = sum(math.exp(score) for score in [*scores[i:], *rest])
        terms.append(math.log(below) - scores[i])
    return sum(terms) / len(terms) if terms else 0.0


def binary(target, score):
    chance = 1 / (1 + math.exp(-score))
    return -target * math.log(chance) - (1 - target) * math.log(1 - chance)


def mean(values):
    return sum(values) / len(values) if values else 0.0


def discrepant(scores, ranks):
    """Weights of exponential decay (10) times tanh of how much lower the student ranks (0.1), added up to 1."""
    weights = [math.exp(-r / 10) * math.tanh(0.1 * max(ranks[r] - r, 0)) for r in range(len(scores))]
    total = sum(weights) or 1
    return sum(w / total * binary(1, score) for w, score in zip(weights, scores, strict=True))


LITERAL = {
    "RD": lambda s, t, u: sum(
        math.exp(-r / 3) / sum(math.exp(-i / 3) for i in range(len(s))) * binary(1, s[r]) for r in range(len(s))
    ),
    "RD, by discrepancy": lambda s, t, u: discrepant(s, RANKS.tolist()),
    "RRD": lambda s, t, u: plackett(s, u, K),
    "k-Plackett, all": lambda s, t, u: plackett(s, [], K),
    "k-Plackett, three": lambda s, t, u: plackett(s, [], 3),
    "k-Plackett, with more below": lambda s, t, u: plackett(s, u, 2),
    "CD": lambda s, t, u: mean(
        [binary(1 / (1 + math.exp(-(b + 0.5) / 2)), a) for a, b in zip(s, t, strict=True)],
    ),
    "margin": lambda s, t, u: (
        mean([max(0, 0.7 - (s[i] - s[i + 1])) for i in range(len(s) - 1)])
        + mean([max(0, 0.7 - (s[-1] - v)) for v in u if s])
    ),
}


@pytest.mark.parametrize("name", LITERAL)
def test_losses_are_those_of_literal_loops(lists, name):
    student, teacher, others, listed, others_listed = lists
    losses = LOSSES[name](*lists)
    for row in range(R):
        s, t = (table[row][listed[row]].tolist() for table in (student, teacher))
        u = others[row][others_listed[row]].tolist()
        assert float(losses[row]) == pytest.approx(LITERAL[name](s, t, u)), row


@each_loss
def test_gradients_are_the_slope_of_the_loss(lists, loss):
    student, teacher, others, *masks = lists
    wide = student.requires_grad_(), others.requires_grad_()
    assert torch.autograd.gradcheck(lambda s, u: loss(s, teacher, u, *masks), wide)


@each_loss
def test_an_empty_list_costs_nothing_and_what_is_after_the_end_is_never_seen(lists, loss):
    """Not even where it is not a number."""
    student, teacher, others, listed, others_listed = lists
    clean = loss(*lists)
    student = torch.where(listed, student, math.nan).requires_grad_()
    others = torch.where(others_listed, others, math.nan).requires_grad_()
    losses = loss(student, teacher, others, listed, others_listed)
    torch.testing.assert_close(losses, clean)
    assert losses.shape == (R,)
    assert losses[5] == 0
    losses.sum().backward()
    assert student.grad.isfinite().all()
    assert student.grad[~listed].count_nonzero() == 0
    assert student.grad.count_nonzero() > 0


@pytest.mark.parametrize("loss", [loss for name, loss in LOSSES.items() if name != "RD, by discrepancy"])
def test_a_student_that_agrees_with_the_teacher_has_a_smaller_loss(loss):
    teacher = torch.linspace(3, 0, K).expand(2, K)
    student, others = torch.stack([teacher[0], teacher[0].flip(0)]), torch.full((2, L), -1.0)
    agrees, disagrees = loss(student, teacher, others, None, None).tolist()
    assert agrees < disagrees


@each_loss
def test_a_student_in_half_precision_has_losses_in_float32(lists, loss):
    student, teacher, others, *masks = lists
    losses = loss(student.bfloat16(), teacher.float(), others.bfloat16(), *masks)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses[:3], loss(*lists)[:3].float(), rtol=0.1, atol=0.1)


def test_ranking_distillation_by_hand():
    """At decay 1 / log 2 the ranks weigh 2/3 and 1/3; sigmoids are 1/2 and 3/4."""
    student = torch.tensor([[0.0, math.log(3)]])
    assert float(ranking_distillation(student, decay=1 / math.log(2))) == pytest.approx(
        2 / 3 * math.log(2) + 1 / 3 * math.log(4 / 3)
    )


def test_only_what_the_student_ranks_lower_than_the_teacher_counts():
    """The first item is where it should be, so the second is all there is; in the other row neither is too low."""
    student = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    losses = ranking_distillation(student, student_ranks=torch.tensor([[0, 9], [0, 1]]))
    assert losses.tolist() == pytest.approx([math.log(4 / 3), 0.0])


def test_a_sharper_discrepancy_counts_small_ones_in_full():
    """Off by 1 and by 100: as tanh is 1 for both where it is sharp, ranks that decay slowly weigh the same."""
    student, ranks = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[1, 101]])
    loss = ranking_distillation(student, student_ranks=ranks, decay=1e6, sharpness=100.0)
    assert float(loss) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2, abs=1e-5)
    loss = ranking_distillation(student, student_ranks=ranks, decay=1e6, sharpness=1e-4)
    assert float(loss) == pytest.approx((math.log(2) + 100 * math.log(4 / 3)) / 101, abs=1e-4)


def test_an_item_of_no_importance_does_not_count():
    student = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    losses = ranking_distillation(student, importance=torch.tensor([[1.0, 0.0], [0.2, 0.6]]), decay=1e6)
    assert losses.tolist() == pytest.approx([math.log(2), (math.log(2) + 3 * math.log(4 / 3)) / 4], abs=1e-5)


def test_ranks_are_estimated_from_how_many_of_a_sample_are_above():
    """Two, none and all of four: half way down, at the top and at the bottom of 101 items."""
    ranks = estimated_ranks(torch.tensor([[2.5, 9.0, 0.0]]), torch.tensor([[4.0, 1.0, 3.0, 2.0]]), 101)
    assert ranks.tolist() == [[50, 0, 100]]


def test_relaxed_ranking_by_hand():
    """Weights 3 and 1, and 1 below them: drawn in order with chances 3/5 and 1/2."""
    loss = relaxed_ranking(torch.tensor([[math.log(3), 0.0]]), torch.tensor([[0.0]]))
    assert float(loss) == pytest.approx((math.log(5 / 3) + math.log(2)) / 2)


def test_the_order_of_uninteresting_items_does_not_matter_but_that_of_interesting_ones_does(lists):
    student, _, others, *_ = lists
    loss = relaxed_ranking(student, others)
    torch.testing.assert_close(relaxed_ranking(student, others.flip(1)), loss)
    assert not relaxed_ranking(student.flip(1), others).allclose(loss)


@pytest.mark.parametrize("name", ["RRD", "k-Plackett, three", "DCD"])
def test_what_compares_items_does_not_see_a_rise_of_all_scores(lists, name):
    student, teacher, others, *masks = lists
    risen = LOSSES[name](student + 5, teacher, others + 5, *masks)
    torch.testing.assert_close(risen, LOSSES[name](*lists))


def test_scores_far_apart_stay_exact():
    """exp(-300) is 0 in float32; the loss of the wrong order is still 300, and its gradient 1 each way."""
    student = torch.tensor([[-300.0, 0.0]], requires_grad=True)
    loss = relaxed_ranking(student, torch.tensor([[-400.0]]))
    loss.sum().backward()
    assert float(loss.detach()) == pytest.approx(300 / 2)
    assert student.grad.tolist() == [[-0.5, pytest.approx(0.5)]]
    far = torch.tensor([[-3000.0, 0.0]], requires_grad=True)
    relaxed_ranking(far, torch.tensor([[-9000.0]])).sum().backward()
    assert far.grad.isfinite().all()


def test_the_other_side_of_a_loss_is_the_same_loss_transposed(lists):
    """For each item, the histories that the teacher would give it to first; literally, one item at a time."""
    student, teacher = lists[0], torch.randn(R, K, dtype=torch.float64)
    ordered, listed = in_teachers_order(student.T, teacher.T)
    losses = relaxed_ranking(ordered[:, :3], ordered[:, 3:], listed=listed[:, :3])
    for item in range(K):
        histories = sorted(range(R), key=lambda row: -teacher[row, item])
        scores = [float(student[row, item]) for row in histories]
        assert float(losses[item]) == pytest.approx(plackett(scores[:3], scores[3:], 3))


def test_lists_in_the_teachers_order_keep_what_is_listed_first():
    ordered, listed = in_teachers_order(
        torch.tensor([[10.0, 11.0, 12.0]]), torch.tensor([[1.0, 9.0, 2.0]]), torch.tensor([[True, False, True]])
    )
    assert ordered.tolist() == [[12, 10, 0]]
    assert listed.tolist() == [[True, True, False]]


def test_k_plackett_orders_by_the_teachers_logits_and_leaves_the_rest_below():
    """The teacher's best of three has weight 3 of 6; the order of the others is free."""
    student = torch.tensor([[0.0, math.log(3), math.log(2)]])
    assert float(k_plackett(student, torch.tensor([[0.0, 2.0, 1.0]]), k=1)) == pytest.approx(math.log(2))
    assert float(k_plackett(student, torch.tensor([[1.0, 2.0, 0.0]]), k=1)) == pytest.approx(math.log(2))
    both = k_plackett(student, torch.tensor([[0.0, 2.0, 1.0]]), k=2)
    assert float(both) == pytest.approx((math.log(6 / 3) + math.log(3 / 2)) / 2)
    below = k_plackett(student, torch.tensor([[0.0, 2.0, 1.0]]), k=1, rest_logits=torch.tensor([[math.log(3)]]))
    assert float(below) == pytest.approx(math.log(9 / 3))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_first_places_drawn_often_make_a_cross_entropy(temperature):
    """The first item of an order is drawn by the teacher's softmax."""
    student, teacher = torch.tensor([[0.0, 1.0, 3.0]]), torch.tensor([[1.0, 2.0, 0.0]])
    loss = k_plackett(student, teacher, k=1, temperature=temperature, n_orders=4000, generator=seeded())
    wanted = -(torch.softmax(teacher / temperature, dim=1) * torch.log_softmax(student, dim=1)).sum()
    assert float(loss) == pytest.approx(float(wanted), abs=0.05)


def test_margins_by_hand():
    """Steps of 1 and 1/2 where 1 is wanted, and the rest 1/2 and 2 below the last: 1/2 of 2 and 1/2 of 2."""
    student, rest = torch.tensor([[1.5, 0.5, 0.0]]), torch.tensor([[-0.5, -2.0]])
    assert float(margin_ranking(student, rest)) == pytest.approx(1 / 4 + 1 / 4)
    assert float(margin_ranking(student, rest, margin=0.5)) == 0
    assert float(margin_ranking(student, rest, margin=2.0)) == pytest.approx((1 + 1.5) / 2 + (1.5 + 0) / 2)


def test_collaborative_distillation_by_hand():
    """The teacher says 3/4, the student 1/2 and 3/4."""
    student, teacher = torch.tensor([[0.0], [math.log(3)]]), torch.full((2, 1), math.log(3))
    entropy = 3 / 4 * math.log(4 / 3) + 1 / 4 * math.log(4)
    assert collaborative_distillation(student, teacher).tolist() == pytest.approx([math.log(2), entropy])
    warm = collaborative_distillation(student, 2 * teacher, temperature=2.0)
    shifted = collaborative_distillation(student, teacher - 7, offset=7.0)
    for same in (warm, shifted):
        assert same.tolist() == pytest.approx([math.log(2), entropy])


def test_a_teacher_gets_no_gradient(lists):
    student, teacher, others, *masks = lists
    teacher.requires_grad_()
    for loss in (LOSSES["CD"], LOSSES["k-Plackett, all"], LOSSES["DCD, any order"]):
        assert not loss(student, teacher, others, *masks).requires_grad


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: ranking_distillation(s[0]), r"student_logits have shape \(3,\); expected \[R, K\]"),
        (lambda s: ranking_distillation(s[:, :0]), r"student_logits have shape \(2, 0\); .* K of at least 1"),
        (lambda s: ranking_distillation(s, listed=s[0] > 0), r"mask of student_logits has shape \(3,\); .* \(2, 3\)"),
        (lambda s: ranking_distillation(s, student_ranks=s[:1]), r"student_ranks have shape \(1, 3\); .* \(2, 3\)"),
        (lambda s: ranking_distillation(s, importance=s[:1]), r"importance have shape \(1, 3\); .* \(2, 3\)"),
        (lambda s: ranking_distillation(s, decay=0), "decay is 0; expected a number above 0"),
        (lambda s: ranking_distillation(s, sharpness=-1), "sharpness is -1; expected a number above 0"),
        (lambda s: estimated_ranks(s, s[:1], 9), r"sampled_logits have shape \(1, 3\); expected \(2, any length\)"),
        (lambda s: estimated_ranks(s, s[:, :0], 9), "the number of sampled logits is 0; expected at least 1"),
        (lambda s: relaxed_ranking(s, s[:1]), r"uninteresting_logits have shape \(1, 3\); expected \(2, any"),
        (lambda s: relaxed_ranking(s, s[:, :0]), r"uninteresting_logits have shape \(2, 0\)"),
        (lambda s: k_plackett(s, s[:1]), r"teacher_logits have shape \(1, 3\); expected \(2, 3\)"),
        (lambda s: k_plackett(s, s, k=0), "k is 0; expected at least 1"),
        (lambda s: k_plackett(s, s, n_orders=0), "n_orders is 0; expected at least 1"),
        (lambda s: k_plackett(s, s, temperature=0), "temperature is 0; expected a number above 0"),
        (lambda s: k_plackett(s, s, rest_logits=s[:1]), r"rest_logits have shape \(1, 3\)"),
        (lambda s: margin_ranking(s, s[0]), r"rest_logits have shape \(3,\); expected \[R, K\]"),
        (lambda s: margin_ranking(s, s[:1]), r"rest_logits have shape \(1, 3\); expected \(2, any length\)"),
        (lambda s: margin_ranking(s, s, rest_listed=s[0] > 0), r"mask of rest_logits has shape \(3,\)"),
        (lambda s: margin_ranking(s, s, margin=math.nan), "margin is nan; expected a number above 0"),
        (lambda s: collaborative_distillation(s, s[:1]), r"teacher_logits have shape \(1, 3\)"),
        (lambda s: collaborative_distillation(s, s, temperature=0), "temperature is 0; expected a number above 0"),
        (lambda s: in_teachers_order(s, s[:1]), r"teacher_logits have shape \(1, 3\)"),
    ],
)
def test_lists_and_settings_that_make_no_sense_are_refused(call, message):
    with pytest.raises(SettingsError, match=message):
        call(torch.zeros(2, 3))
