"""Mixtures, lists and silent positions: the fused loss against a literal one that holds every probability."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from distilrec.distil.losses import catalogue
from distilrec.distil.losses.catalogue import chunk_positions, distillation_loss
from distilrec.errors import SettingsError
from distilrec.knowledge import DenseLabels, FactorLabels, ListLabels
from distilrec.knowledge.labels import probabilities
from distilrec.mixture import parts
from distilrec.mixture.parts import SoftLists, SoftLogits
from distilrec.mixture.shares import spread_lists
from distilrec.mixture.teacher import Teacher

P, N, D, K = 37, 23, 6, 4
SOME = np.array([0, 3, 15, 16, 30, 36])  # in each of three chunks


def factors(rows=None, seed=0, **options):
    draw = np.random.default_rng(seed)
    count = P if rows is None else len(rows)
    history, items = draw.normal(size=(count, 9)).astype(np.float32), draw.normal(size=(N, 9)).astype(np.float32)
    return FactorLabels(history, items, rows, **options)


def dense(rows=None, seed=1, **options):
    count = P if rows is None else len(rows)
    return DenseLabels(np.random.default_rng(seed).normal(size=(count, N)).astype(np.float32), rows, **options)


def lists(rows=None, seed=2, ends=True, k=K, **options):
    """The best k of some logits; every fifth list is empty, every third ends early."""
    count = P if rows is None else len(rows)
    logits = np.random.default_rng(seed).normal(size=(count, N)).astype(np.float32)
    items = np.argsort(-logits, axis=1)[:, :k]
    best, log_sums = np.take_along_axis(logits, items, axis=1), np.log(np.exp(logits).sum(axis=1))
    if ends:
        items[::3, 2:], items[::5] = -1, -1
    return ListLabels(items, best, log_sums, rows, **options)


TAIL = np.random.default_rng(3).dirichlet(np.full(N, 0.3)).astype(np.float32)


def as_tensors(part):
    return parts.as_tensors(part, parts.Onto(torch.device("cpu")))


CASES = {
    "lists": [lists()],
    "lists with a tail": [lists(tail=TAIL)],
    "lists of everything, with a tail": [lists(k=N, tail=TAIL)],
    "logits": [dense(temperature=0.7)],
    "factors with a temperature of their own": [factors(temperature=2.0)],
    "factors about some positions": [factors(SOME)],
    "a mixture of all forms": [factors(weight=0.5), lists(weight=0.2, tail=TAIL), dense(weight=0.3)],
    "a mixture about some positions": [factors(SOME, weight=2.0), lists(np.arange(10, 20)), dense(np.array([36]))],
    "folds": [factors(np.arange(0, P, 2)), factors(np.arange(1, P, 2), seed=5)],
}


@pytest.fixture(autouse=True)
def three_chunks(monkeypatch):
    monkeypatch.setattr(catalogue, "_CHUNK_LOGITS", 16 * N)
    assert chunk_positions(N) == 16


def literal(history, items, targets, said, alpha, temperature):
    shares, covered = probabilities(said, n_positions=P, n_items=N, temperature=temperature)
    shares, covered = torch.from_numpy(shares), torch.from_numpy(covered).float()
    logits = history @ items.T
    hard = F.cross_entropy(logits, targets, reduction="none")
    soft = -(shares * torch.log_softmax(logits / temperature, dim=1)).sum(dim=1)
    heard = alpha * covered
    return ((1 - heard) * hard + heard * temperature**2 * soft).mean(), (soft * covered).sum() / covered.sum()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("name", CASES)
def test_every_form_gives_the_literal_loss_and_its_gradients(name, temperature):
    torch.manual_seed(0)
    tables = torch.randn(P, D), torch.randn(N, D)
    targets, said = torch.randint(N, (P,)), CASES[name]
    ours, theirs = ([t.clone().requires_grad_() for t in tables] for _ in range(2))
    found = distillation_loss(
        *ours, targets, soft_labels=[as_tensors(p) for p in said], alpha=0.6, temperature=temperature
    )
    wanted, wanted_soft = literal(*theirs, targets, said, 0.6, temperature)
    torch.testing.assert_close(found.total, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.soft, wanted_soft.detach(), rtol=1e-4, atol=1e-5)
    found.total.backward()
    wanted.backward()
    for mine, true in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, true.grad, rtol=1e-3, atol=1e-5)


def test_positions_of_which_nobody_speaks_learn_as_without_a_teacher():
    torch.manual_seed(0)
    history, items, targets = torch.randn(P, D), torch.randn(N, D), torch.randint(N, (P,))
    silent = as_tensors(factors(np.zeros(0, dtype=np.int64)))
    alone = distillation_loss(history, items, targets)
    heard = distillation_loss(history, items, targets, soft_labels=silent, alpha=0.9)
    torch.testing.assert_close(heard.total, alone.total)
    assert float(heard.soft) == 0


def test_a_list_of_one_item_with_half_the_mass_leaves_a_quarter_to_each_of_two_others():
    """At temperature 1/2 probabilities are squared and shared out again: 4, 1 and 1 of 6 parts."""
    one = SoftLists(torch.tensor([[2]]), torch.tensor([[0.5]]).log(), torch.zeros(1))
    torch.testing.assert_close(spread_lists(one, 3, 1.0), torch.tensor([[1 / 4, 1 / 4, 1 / 2]]))
    torch.testing.assert_close(spread_lists(one, 3, 0.5), torch.tensor([[1 / 6, 1 / 6, 4 / 6]]))


def test_with_a_tail_the_other_half_is_shared_in_its_proportions():
    """1 to 3: 1/8 and 3/8; squared, 1 and 9 beside 16 of 26 parts. The tail's listed item does not matter."""
    for of_the_listed in (0.01, 9.0):
        tail = torch.tensor([1.0, 3.0, of_the_listed])
        one = SoftLists(torch.tensor([[2]]), torch.tensor([[0.5]]).log(), torch.zeros(1), tail=tail)
        torch.testing.assert_close(spread_lists(one, 3, 1.0), torch.tensor([[1 / 8, 3 / 8, 1 / 2]]))
        torch.testing.assert_close(spread_lists(one, 3, 0.5), torch.tensor([[1 / 26, 9 / 26, 16 / 26]]))


def test_where_a_listed_item_has_nearly_all_of_the_tail_the_others_still_have_their_mass():
    """A thousandth each of it is left to them, so that they have 1/4 each; at temperature 2 the roots, 1/2 each."""
    one = SoftLists(torch.tensor([[0]]), torch.tensor([[0.5]]).log(), torch.zeros(1))
    one = replace(one, tail=torch.tensor([0.998, 0.001, 0.001]))
    torch.testing.assert_close(spread_lists(one, 3, 1.0), torch.tensor([[1 / 2, 1 / 4, 1 / 4]]), rtol=1e-4, atol=0)
    wanted = torch.tensor([[2**0.5 / 2, 1 / 2, 1 / 2]]) / (2**0.5 / 2 + 1)
    torch.testing.assert_close(spread_lists(one, 3, 2.0), wanted, rtol=1e-4, atol=0)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 2.0])
@pytest.mark.parametrize("little", [1e-9, 0.0])
def test_where_it_has_next_to_all_of_it_shares_are_still_numbers_that_sum_to_one(temperature, little):
    one = SoftLists(torch.tensor([[0]]), torch.tensor([[0.5]]).log(), torch.zeros(1))
    found = spread_lists(replace(one, tail=torch.tensor([1.0, little, little])), 3, temperature)
    assert float(found.sum()) == pytest.approx(1, abs=1e-3)
    assert float(found.min()) >= 0


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (SoftLogits(torch.zeros(2, N)), "soft labels cover 2 positions; expected 37"),
        (SoftLogits(torch.zeros(P, N + 1)), "soft labels rank 24 items; expected the catalogue's 23"),
        (SoftLists(torch.full((P, 1), N), torch.zeros(P, 1), torch.zeros(P)), "soft labels name item 23; the"),
        (as_tensors(lists(tail=TAIL[1:])), "a tail ranks 22 items; expected the catalogue's 23"),
        (as_tensors(factors(weight=0.0)), r"a part of the soft labels has weight 0\.0; expected a number above 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(part, message):
    with pytest.raises(SettingsError, match=message):
        distillation_loss(
            torch.zeros(P, D), torch.zeros(N, D), torch.zeros(P, dtype=torch.int64), soft_labels=part, alpha=0.5
        )


# ---- lists and single items


def teacher(*parts, n_positions=P):
    return Teacher([as_tensors(part) for part in parts], n_positions, N, 1.0, torch.float32)


@pytest.mark.parametrize("name", CASES)
def test_lists_are_the_best_of_the_literal_probabilities(name, monkeypatch):
    monkeypatch.setattr("distilrec.mixture.teacher._CHUNK_NUMBERS", 16 * N)  # in three chunks
    shares, covered = probabilities(CASES[name], n_positions=P, n_items=N)
    found = teacher(*CASES[name]).lists(K)
    best = -np.sort(-shares, axis=1)[:, :K]
    known = covered > 0
    told = (found.logits - found.log_sums[:, None]).exp().numpy()
    np.testing.assert_allclose(told[known], best[known], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        np.take_along_axis(shares, found.items.numpy().clip(0), axis=1)[known], best[known], rtol=1e-4, atol=1e-6
    )
    assert (found.items.numpy()[~known] == -1).all()
    assert not found.logits[~torch.from_numpy(known)].any()


def test_a_single_teachers_lists_keep_its_own_logits_and_a_mixtures_are_log_probabilities():
    logits = np.arange(N, dtype=np.float32)[None]
    own = teacher(DenseLabels(logits, temperature=2.0), n_positions=1).lists(2)
    assert own.logits.tolist() == [[11.0, 10.5]]
    assert float(own.log_sums) == pytest.approx(np.log(np.exp(logits / 2).sum()))
    mixed = teacher(DenseLabels(logits), DenseLabels(logits), n_positions=1).lists(2)
    assert mixed.log_sums.tolist() == [0.0]
    assert mixed.logits[0].tolist() == pytest.approx([-0.4587, -1.4587], abs=1e-4)  # of e/(e - 1): 1 - 1/e


@pytest.mark.parametrize("name", CASES)
def test_single_items_have_their_literal_log_probabilities(name, monkeypatch):
    monkeypatch.setattr("distilrec.mixture.teacher._CHUNK_NUMBERS", 16 * N)
    shares, covered = probabilities(CASES[name], n_positions=P, n_items=N)
    items = np.random.default_rng(0).integers(-1, N, size=(P, 5))
    wanted = np.where(
        (items >= 0) & (covered[:, None] > 0), np.log(np.take_along_axis(shares, items.clip(0), axis=1) + 1e-30), 0
    )
    found = teacher(*CASES[name]).log_shares(torch.from_numpy(items))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-3, atol=1e-4)


def test_more_items_than_there_are_give_all_of_them():
    assert teacher(dense()).lists(N + 5).items.shape == (P, N)


def test_an_item_that_a_teacher_rules_out_is_unlikely_not_infinitely_so():
    one = DenseLabels(np.array([[0.0] + [-1000.0] * (N - 1)], np.float32))
    found = teacher(one, n_positions=1)
    assert torch.isfinite(found.lists(N).logits).all()
    assert -100 < float(found.log_shares(torch.tensor([[1]]))) < -80


def test_of_no_position_there_is_nothing_to_say():
    nothing = DenseLabels(np.zeros((0, N), np.float32))
    assert teacher(nothing, n_positions=0).lists(2).items.shape == (0, 2)
    assert teacher(nothing, n_positions=0).log_shares(torch.zeros(0, 3, dtype=torch.int64)).shape == (0, 3)
