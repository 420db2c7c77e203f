"""The sampled loss against the one over the whole catalogue: the same where nothing is left out, near it elsewhere."""

import math
from dataclasses import replace

import pytest
import torch

from distilrec.distil.losses.catalogue import distillation_loss
from distilrec.distil.losses.sampled import Candidates, sampled_distillation_loss
from distilrec.errors import SettingsError
from distilrec.mixture.parts import SoftLabels, SoftLists, SoftLogits

P, N, D, D_TEACHER = 13, 23, 6, 9
CASES = {
    "hard labels alone": {},
    "hard labels, smoothed": {"label_smoothing": 0.2},
    "half and half": {"alpha": 0.7},
    "half and half, warm": {"alpha": 0.7, "temperature": 2.0},
    "half and half, cold and smoothed": {"alpha": 0.7, "temperature": 0.5, "label_smoothing": 0.2},
    "soft labels alone": {"alpha": 1.0},
}


@pytest.fixture
def student():
    """History vectors, item vectors, targets."""
    torch.manual_seed(0)
    return torch.randn(P, D), torch.randn(N, D), torch.randint(N, (P,))


def teachers():
    """One of every form: factors, dense logits, lists of 4, and a mixture that leaves the first positions out."""
    torch.manual_seed(1)
    factors = SoftLabels(torch.randn(P, D_TEACHER), torch.randn(N, D_TEACHER), temperature=1.5)
    dense = SoftLogits(torch.randn(P, N), temperature=0.8)
    logits, items = torch.randn(P, N).topk(4, dim=1)
    items[3, 2:], items[4] = -1, -1  # a shorter list, and an empty one
    lists = SoftLists(items, logits, torch.full((P,), 4.0))
    tailed = replace(lists, tail=torch.rand(N) ** 3)
    late = SoftLabels(torch.randn(5, D_TEACHER), torch.randn(N, D_TEACHER), torch.arange(P - 5, P), 0.5)
    middle = SoftLists(items[:6], logits[:6], torch.full((6,), 4.0), torch.arange(4, 10), 2.0)
    mixture = {"a mixture": [late, middle]}
    return {"factors": factors, "dense logits": dense, "lists": lists, "lists with a tail": tailed} | mixture


TEACHERS = teachers()


def everything_listed():
    return Candidates(torch.arange(N).repeat(P, 1), torch.zeros(0, dtype=torch.int64))


def everything_drawn():
    return Candidates(torch.zeros((P, 0), dtype=torch.int64), torch.arange(N))


def some_listed_all_drawn():
    """Lists of 5 that overlap the draw, which is the whole catalogue: each item still counts once."""
    torch.manual_seed(2)
    return Candidates(torch.stack([torch.randperm(N)[:5] for _ in range(P)]), torch.arange(N))


def repeats_and_gaps():
    """Items twice in a list and twice in the draw, unused places in the middle."""
    listed = torch.tensor([[7, -1, 7, 3, -1, 3, 7]]).repeat(P, 1)
    return Candidates(listed, torch.cat([torch.arange(N), torch.arange(5)]))


COMPLETE = [everything_listed, everything_drawn, some_listed_all_drawn, repeats_and_gaps]


def with_gradients(loss, student, **options):
    """Total, hard part, soft part, and the gradients of both tables."""
    history, items = (table.clone().requires_grad_() for table in student[:2])
    found = loss(history, items, student[2], **options)
    found.total.backward()
    return found.total.detach(), found.hard, found.soft, history.grad, items.grad


@pytest.mark.parametrize("candidates", COMPLETE, ids=lambda make: make.__name__)
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_with_all_items_among_the_candidates_it_is_the_whole_catalogue_loss(student, candidates, options):
    soft = TEACHERS["factors"] if "alpha" in options else None
    wanted = with_gradients(distillation_loss, student, soft_labels=soft, **options)
    got = with_gradients(sampled_distillation_loss, student, candidates=candidates(), soft_labels=soft, **options)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("name", TEACHERS)
def test_every_form_of_teacher_with_all_items_listed_is_the_whole_catalogue_loss(student, name, temperature):
    options = {"soft_labels": TEACHERS[name], "alpha": 0.7, "temperature": temperature}
    wanted = with_gradients(distillation_loss, student, **options)
    got = with_gradients(sampled_distillation_loss, student, candidates=everything_listed(), **options)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["factors", "dense logits", "lists", "lists with a tail"])
def test_a_teachers_tail_over_all_others_is_the_whole_catalogue_loss(student, name):
    """Lists as the teacher gave them and every other item drawn; the tail of its lists is then exact too."""
    listed = TEACHERS["lists"].items
    options = {"soft_labels": TEACHERS[name], "alpha": 0.7, "temperature": 2.0}
    wanted = with_gradients(distillation_loss, student, **options)
    got = with_gradients(sampled_distillation_loss, student, candidates=Candidates(listed, torch.arange(N)), **options)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_one_listed_and_one_drawn_item_by_hand():
    """Five items: the target and a listed one count once, the drawn one stands for the three others."""
    items = torch.tensor([[4.0], [2.0], [1.0], [5.0], [6.0]]).log()
    candidates = Candidates(torch.tensor([[1]]), torch.tensor([2]))
    loss = sampled_distillation_loss(torch.ones(1, 1), items, torch.tensor([0]), candidates=candidates)
    assert float(loss.hard) == pytest.approx(math.log((4 + 2 + 3 * 1) / 4))


def test_a_drawn_item_that_is_listed_counts_once_and_the_other_stands_for_the_tail():
    items = torch.tensor([[4.0], [2.0], [1.0], [5.0], [6.0]]).log()
    candidates = Candidates(torch.tensor([[1]]), torch.tensor([1, 2]))
    loss = sampled_distillation_loss(torch.ones(1, 1), items, torch.tensor([0]), candidates=candidates)
    assert float(loss.hard) == pytest.approx(math.log((4 + 2 + 3 * 1) / 4))


def test_a_listed_teachers_tail_is_a_bucket_over_the_drawn_items():
    """The teacher gives 1/2 to item 0 and 1/8 to each of four others; the student's items are all alike."""
    lists = SoftLists(torch.tensor([[0]]), torch.tensor([[math.log(1 / 2)]]), torch.zeros(1))
    history = torch.ones(1, 1, requires_grad=True)
    items = torch.zeros(5, 1, requires_grad=True)
    loss = sampled_distillation_loss(
        history,
        items,
        torch.tensor([0]),
        candidates=Candidates(torch.tensor([[0]]), torch.tensor([3, 4])),
        soft_labels=lists,
        alpha=1.0,
    )
    loss.total.backward()
    assert float(loss.soft) == pytest.approx(math.log(5))
    drawn = 2 / 5 - 1 / 4  # each stands for two of the five in the softmax, for half of the bucket in the labels
    assert items.grad.flatten().tolist() == pytest.approx([1 / 5 - 1 / 2, 0, 0, drawn, drawn])


def test_the_estimated_sum_is_right_on_average_over_every_possible_draw():
    """Six items, one listed beside the target, all six pairs that can be drawn of the other four: exact, no luck."""
    torch.manual_seed(3)
    history, items = torch.randn(1, 4), torch.randn(6, 4)
    target, listed = torch.tensor([0]), torch.tensor([[1]])
    logits = history @ items.T
    sums = []
    for pair in torch.combinations(torch.arange(2, 6), 2):
        loss = sampled_distillation_loss(history, items, target, candidates=Candidates(listed, pair))
        sums.append(float((loss.hard + logits[0, 0]).exp()))
    assert sum(sums) / 6 == pytest.approx(float(logits.exp().sum()), rel=1e-5)


@pytest.mark.parametrize("name", ["factors", "lists", "lists with a tail", "a mixture"])
def test_loss_and_gradients_come_near_the_whole_catalogue_on_average_over_draws(name):
    """80 of 400 items are drawn; the noise of one draw falls as the root of the 60 that are averaged."""
    torch.manual_seed(4)
    n_items = 400
    student = torch.randn(P, D), 0.3 * torch.randn(n_items, D), torch.randint(n_items, (P,))
    factors = SoftLabels(torch.randn(P, 3), 0.5 * torch.randn(n_items, 3))
    full = factors.history_vectors @ factors.item_vectors.T
    top = full.topk(5, dim=1)
    lists = SoftLists(top.indices, top.values, torch.logsumexp(full, dim=1))
    early = SoftLists(top.indices[:4], top.values[:4], lists.log_sums[:4], torch.arange(4))
    tailed = replace(lists, tail=full.softmax(dim=1).mean(dim=0))
    soft = {"factors": factors, "lists": lists, "lists with a tail": tailed, "a mixture": [factors, early]}[name]
    options = {"soft_labels": soft, "alpha": 0.7, "temperature": 2.0}
    wanted = with_gradients(distillation_loss, student, **options)
    draws = []
    for _ in range(60):
        candidates = Candidates(top.indices, torch.randperm(n_items)[:80])
        draws.append(with_gradients(sampled_distillation_loss, student, candidates=candidates, **options))
    losses, gradients = list(zip(*draws, strict=True))[:3], list(zip(*draws, strict=True))[3:]
    for ours, theirs in zip(losses, wanted[:3], strict=True):
        assert float(torch.stack(ours).mean()) == pytest.approx(float(theirs), rel=0.002)
    for ours, theirs in zip(gradients, wanted[3:], strict=True):
        assert apart(ours[0], theirs) > 0.15
        assert apart(torch.stack(ours).mean(dim=0), theirs) < 0.06


def apart(found, wanted):
    """As a share of what is wanted."""
    return float((found - wanted).norm() / wanted.norm())


def test_only_candidates_get_a_gradient(student):
    candidates = Candidates(torch.tensor([[2, 5]]).repeat(P, 1), torch.tensor([9]))
    *_, by_items = with_gradients(
        sampled_distillation_loss, (student[0], student[1], torch.full((P,), 11)), candidates=candidates
    )
    assert torch.nonzero(by_items.abs().sum(dim=1)).flatten().tolist() == [2, 5, 9, 11]


def test_a_position_that_no_teacher_speaks_of_learns_from_its_hard_label(student):
    candidates, targets = some_listed_all_drawn(), student[2]
    late = SoftLabels(torch.randn(1, 3), torch.randn(N, 3), torch.tensor([P - 1]))
    mixed = with_gradients(sampled_distillation_loss, student, candidates=candidates, soft_labels=late, alpha=0.5)
    alone = with_gradients(sampled_distillation_loss, (*student[:2], targets), candidates=candidates)
    torch.testing.assert_close(mixed[3][:-1], alone[3][:-1])
    assert not torch.allclose(mixed[3][-1], alone[3][-1])


def test_trust_moves_weight_from_the_soft_labels_to_the_hard_one(student):
    """None of it is plain training; it is shown the candidates, the target first."""
    seen = {}

    def trust(shares, probabilities, targets, at):
        seen.update(shares=shares, probabilities=probabilities, targets=targets, at=at)
        return torch.zeros(P)

    options = {"candidates": some_listed_all_drawn(), "soft_labels": TEACHERS["factors"], "alpha": 0.7}
    total, hard, soft, *_ = with_gradients(sampled_distillation_loss, student, trust=trust, **options)
    assert float(total) == pytest.approx(float(hard))
    assert float(soft) > 0
    assert seen["targets"].tolist() == [0] * P
    assert seen["at"] == slice(0, P)
    torch.testing.assert_close(seen["shares"].sum(dim=1), torch.ones(P))
    torch.testing.assert_close(seen["probabilities"].sum(dim=1), torch.ones(P))
    own = torch.softmax(student[0] @ student[1].T, dim=1).gather(1, student[2][:, None])
    torch.testing.assert_close(seen["probabilities"][:, :1], own)


def test_bfloat16_means_agree_to_one_per_cent(student):
    options = {"candidates": everything_drawn(), "soft_labels": TEACHERS["factors"], "alpha": 0.7}
    exact = sampled_distillation_loss(*student, **options)
    rounded = sampled_distillation_loss(*student, precision=torch.bfloat16, **options)
    assert float(rounded.total) == pytest.approx(float(exact.total), rel=0.01)
    assert float(rounded.total) != float(exact.total)


def test_no_positions_cost_nothing():
    items = torch.randn(N, D, requires_grad=True)
    none = torch.zeros((0, 0), dtype=torch.int64)
    loss = sampled_distillation_loss(
        torch.zeros(0, D), items, torch.zeros(0, dtype=torch.int64), candidates=Candidates(none, torch.tensor([0]))
    )
    loss.total.backward()
    assert float(loss.total.detach()) == 0.0
    assert float(items.grad.abs().sum()) == 0.0


def refused(student, **options):
    given = {"candidates": everything_drawn(), **options}
    with pytest.raises(SettingsError) as error:
        sampled_distillation_loss(*student, **given)
    return str(error.value)


def test_lists_without_random_items_must_hold_the_whole_catalogue(student):
    short = torch.arange(N - 1).repeat(P, 1)
    told = refused((*student[:2], torch.zeros(P, dtype=torch.int64)), candidates=Candidates(short, torch.arange(0)))
    assert told == ("position 0 lists 22 of 23 items, and there are no random ones to stand for the others; draw some")


def test_candidates_of_other_positions_or_another_catalogue_are_refused(student):
    lists, drawn = everything_listed().listed, torch.arange(3)
    assert refused(student, candidates=Candidates(lists[1:], drawn)) == (
        "candidates have shapes (12, 23) and (3,); expected (13, K) listed items, a row a position, "
        "and (M,) random ones"
    )
    assert refused(student, candidates=Candidates(lists + 1, drawn)) == (
        "listed candidates are items 1 to 23; expected -1 to 22"
    )
    assert refused(student, candidates=Candidates(lists, drawn - 1)) == (
        "random candidates are items -1 to 1; expected 0 to 22"
    )


def test_what_the_whole_catalogue_loss_refuses_is_refused(student):
    assert "alpha is 0.5, but no teacher's soft labels were given" in refused(student, alpha=0.5)
    assert "temperature is 0" in refused(student, temperature=0)
    small = SoftLogits(torch.randn(P, N - 1))
    assert "soft labels rank 22 items" in refused(student, soft_labels=small, alpha=0.5)
