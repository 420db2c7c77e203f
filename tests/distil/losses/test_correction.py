"""Losses that look at the student's own ranking, by hand and against the plain formula."""

import math

import pytest
import torch

from distilrec.distil.losses.correction import ScoredList, dual_correction, rejuvenated_cross_entropy
from distilrec.distil.losses.draws import sample_closure
from distilrec.distil.losses.lists import gather_logits, top_items
from distilrec.errors import SettingsError

N = 12


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_item_ranked_too_low_is_taught_to_stand_above_the_one_ranked_too_high():
    """The teacher's order is a, b, c and the student's c, b, a: b is right, and a has to pass c, two points above."""
    student = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    loss = dual_correction(student, generator=seeded())
    assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(2)))
    loss.sum().backward()
    assert student.grad[0, 1] == 0


def test_a_student_in_the_teachers_order_costs_nothing():
    student = torch.tensor([[3.0, 2.0, 1.0]], requires_grad=True)
    loss = dual_correction(student, generator=seeded())
    loss.sum().backward()
    assert float(loss.detach()) == 0
    assert student.grad.count_nonzero() == 0


def test_items_ranked_too_low_are_taught_in_the_teachers_order():
    """The teacher's order is a, b, c; the student's c, a, b. Weights 2, 1 and 4, so chances 2/7 and 1/5."""
    student = torch.tensor([[2.0, 1.0, 4.0]]).log()
    wanted = (math.log(7 / 2) + math.log(5 / 1)) / 2
    assert float(dual_correction(student, generator=seeded())) == pytest.approx(wanted)
    mixed = [1, 2, 0]
    teacher = torch.tensor([[3.0, 2.0, 1.0]])
    assert float(dual_correction(student[:, mixed], teacher[:, mixed], generator=seeded())) == pytest.approx(wanted)


def test_one_of_each_kind_is_drawn_or_all_that_there_are():
    """The student has the teacher's first item last, and so all others one too high.

    One of the four others is drawn, and the first has to pass it: the loss is log(1 + exp(their distance)).
    """
    student = torch.tensor([[0.0, 4.0, 3.0, 2.0, 1.0]]).repeat(100, 1)
    losses = dual_correction(student, n_corrected=1, generator=seeded())
    distances = torch.log(torch.expm1(losses))
    assert set(distances.round(decimals=3).tolist()) == {1.0, 2.0, 3.0, 4.0}
    everything = dual_correction(student[:1], n_corrected=9, generator=seeded())
    assert float(everything) == pytest.approx(math.log(sum(math.exp(d) for d in (0, 1, 2, 3, 4))))


@pytest.mark.parametrize(("sharpness", "share"), [(1e-4, 3 / 4), (100.0, 1 / 2)])
def test_sharpness_decides_whether_a_bad_mistake_is_drawn_more_often(sharpness, share):
    """The student's order is c, d, b, a: a is 3 too low and b 1, drawn 3 : 1 or evenly; a is more than 10 points off.

    c and d, too high, are 12 and 11 points above a, and 2 and 1 above b.
    """
    student = torch.tensor([[0.0, 10.0, 12.0, 11.0]]).repeat(3000, 1)
    losses = dual_correction(student, n_corrected=1, sharpness=sharpness, generator=seeded())
    assert float((losses > 10).float().mean()) == pytest.approx(share, abs=0.03)


def test_the_generator_decides_what_is_corrected():
    torch.manual_seed(0)
    student = torch.randn(20, 30)
    first, again, other = (dual_correction(student, n_corrected=3, generator=seeded(seed)) for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)


def test_the_items_side_is_the_same_loss_transposed():
    """Two histories, one item: the teacher has the first above the second, the student the other way, by 3 points."""
    student, teacher = torch.tensor([[0.0], [3.0]]), torch.tensor([[5.0], [4.0]])
    assert float(dual_correction(student.T, teacher.T, generator=seeded())) == pytest.approx(math.log(1 + math.exp(3)))


def scored(items, student, teacher):
    """A list of items, with the scores that both models give them."""
    items = torch.tensor([items])
    at = items.clamp(min=0)
    return ScoredList(items, torch.tensor([student]).gather(1, at), torch.tensor([teacher]).gather(1, at))


def test_rejuvenated_cross_entropy_by_hand():
    """The teacher likes items 0 and 1, the student 1 and 2, and 2 was drawn: half of the teacher's list is agreed on.

    The teacher finds all items alike, the student's weights are 1, 3, 1. Over the student's list it says 3/4 and 1/4;
    over the missed item and the drawn one, one half each. At sharpness log 4 both parts weigh 1/2.
    """
    models = [0.0, math.log(3), 0.0], [0.0, 0.0, 0.0]
    lists = scored([0, 1], *models), scored([1, 2], *models), scored([2, -1], *models)
    first, second = (math.log(4 / 3) + math.log(4)) / 2, math.log(2)
    loss = rejuvenated_cross_entropy(*lists, sharpness=math.log(4))
    assert float(loss) == pytest.approx((first + second) / 2)
    assert float(rejuvenated_cross_entropy(*lists, sharpness=0.0)) == pytest.approx(second)
    assert float(rejuvenated_cross_entropy(*lists, sharpness=200.0)) == pytest.approx(first)


def test_an_item_drawn_that_is_also_missed_counts_once():
    models = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]
    lists = scored([0, 1], *models), scored([2], *models), scored([0, 2], *models)
    assert float(rejuvenated_cross_entropy(*lists)) == pytest.approx(math.log(3))  # 0, 1 and 2, each a third


def test_the_temperature_flattens_both_models():
    models = [0.0, 2 * math.log(3)], [0.0, 0.0]
    lists = scored([0], *models), scored([0, 1], *models), scored([0, 1], *models)
    loss = rejuvenated_cross_entropy(*lists, temperature=2.0, sharpness=0.0)
    assert float(loss) == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)


@pytest.fixture
def models():
    """A student's and a teacher's vectors of 6 histories and 12 items, and lists of both; one list empty, one short."""
    torch.manual_seed(0)
    student = torch.randn(6, 3, dtype=torch.float64), torch.randn(N, 3, dtype=torch.float64)
    teacher = torch.randn(6, 3), torch.randn(N, 3)
    best = top_items(*teacher, 4)
    best[1, 2:], best[2] = -1, -1
    own = top_items(*student, 8)
    return student, teacher, (best, own[:, :4], sample_closure(own, best, 3, generator=seeded()))


def of_models(student, teacher, items, **options):
    return rejuvenated_cross_entropy(
        *[ScoredList(one, gather_logits(*student, one), gather_logits(*teacher, one)) for one in items], **options
    )


def entropy(student, teacher, items):
    """Over a set of items of one row, one by one."""
    mass = [sum(math.exp(float(model[i])) for i in items) for model in (student, teacher)]
    return -sum(math.exp(float(teacher[i])) / mass[1] * math.log(math.exp(float(student[i])) / mass[0]) for i in items)


def test_rejuvenated_cross_entropy_is_that_of_literal_sets(models):
    student, teacher, items = models
    losses = of_models(*models)
    for row, (best, own, drawn) in enumerate(zip(*[one.tolist() for one in items], strict=True)):
        best, own, drawn = ({i for i in one if i >= 0} for one in (best, own, drawn))
        if not best:
            assert losses[row] == 0
            continue
        scores = student[0][row] @ student[1].T, teacher[0][row] @ teacher[1].T
        weight = math.exp(-len(best & own) / len(best))
        wanted = (1 - weight) * entropy(*scores, own) + weight * entropy(*scores, (best - own) | drawn)
        assert float(losses[row]) == pytest.approx(wanted, rel=1e-5)


def test_gradients_are_the_slope_of_the_loss_and_none_for_an_empty_list(models):
    (history, table), teacher, items = models
    wide = history.requires_grad_(), table.requires_grad_()
    assert torch.autograd.gradcheck(lambda *student: of_models(student, teacher, items, temperature=2.0), wide)
    of_models(wide, teacher, items).sum().backward()
    assert history.grad[2].count_nonzero() == 0
    assert history.grad[[0, 1, 3]].count_nonzero() == 9


def test_a_student_that_agrees_with_the_teacher_has_a_smaller_loss(models):
    _, teacher, _ = models
    losses = []
    for student in (teacher, (-teacher[0], teacher[1])):
        best, own = top_items(*teacher, 4), top_items(*student, 8)
        closure = sample_closure(own, best, 3, generator=seeded())
        losses.append(of_models(student, teacher, (best, own[:, :4], closure)))
    assert (losses[0] < losses[1]).all()


def three(rows=2, length=3, scores=3):
    return ScoredList(torch.zeros(rows, length, dtype=torch.int64), torch.zeros(rows, scores), torch.zeros(rows, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: dual_correction(s, s[:1], generator=seeded()), r"teacher_logits have shape \(1, 3\); .* \(2, 3\)"),
        (lambda s: dual_correction(s, n_corrected=0, generator=seeded()), "n_corrected is 0; expected at least 1"),
        (lambda s: dual_correction(s, sharpness=0, generator=seeded()), "sharpness is 0; expected a number above 0"),
        (
            lambda s: rejuvenated_cross_entropy(three(), three(rows=1), three()),
            r"items of the student's list have shape \(1, 3\); expected \(2, any length\)",
        ),
        (
            lambda s: rejuvenated_cross_entropy(three(), three(), three(scores=2)),
            r"student_logits of the closure have shape \(2, 2\); expected \(2, 3\)",
        ),
        (
            lambda s: rejuvenated_cross_entropy(three(length=2, scores=2), three(), three()),
            r"teacher_logits of the teacher's list have shape \(2, 3\); expected \(2, 2\)",
        ),
        (
            lambda s: rejuvenated_cross_entropy(three(), three(), three(), temperature=0),
            "temperature is 0; expected a number above 0",
        ),
        (
            lambda s: rejuvenated_cross_entropy(three(), three(), three(), sharpness=-1),
            "sharpness is -1; expected 0 or more",
        ),
    ],
)
def test_lists_and_settings_that_make_no_sense_are_refused(call, message):
    with pytest.raises(SettingsError, match=message):
        call(torch.zeros(2, 3))
