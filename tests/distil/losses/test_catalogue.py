"""The fused loss against the literal one: full logits, `F.cross_entropy`, `softmax`."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from distilrec.distil.losses import catalogue
from distilrec.distil.losses.catalogue import chunk_positions, distillation_loss
from distilrec.errors import SettingsError
from distilrec.mixture.parts import SoftLabels

P, N, D, D_TEACHER = 37, 23, 6, 9
CASES = {
    "hard labels alone": {},
    "hard labels, smoothed": {"label_smoothing": 0.2},
    "half and half": {"alpha": 0.7},
    "half and half, warm": {"alpha": 0.7, "temperature": 2.0},
    "half and half, cold": {"alpha": 0.7, "temperature": 0.5},
    "half and half, warm and smoothed": {"alpha": 0.7, "temperature": 2.0, "label_smoothing": 0.2},
    "half and half, smoothed": {"alpha": 0.3, "label_smoothing": 0.1},
    "soft labels alone": {"alpha": 1.0},
    "soft labels alone, warm": {"alpha": 1.0, "temperature": 3.0},
    "a teacher who is not listened to": {"alpha": 0.0, "temperature": 3.0},
}


@pytest.fixture
def tables():
    """Student's history and item vectors, targets, and a teacher's two factors."""
    torch.manual_seed(0)
    history, items = torch.randn(P, D), torch.randn(N, D)
    teacher = SoftLabels(torch.randn(P, D_TEACHER), torch.randn(N, D_TEACHER))
    return history, items, torch.randint(N, (P,)), teacher


@pytest.fixture
def small_chunks(monkeypatch):
    """16 positions at a time, so that 37 positions make three chunks, the last one of five."""
    monkeypatch.setattr(catalogue, "_CHUNK_LOGITS", 16 * N)
    assert chunk_positions(N) == 16


def literal(history, items, targets, teacher, *, alpha=0.0, temperature=1.0, label_smoothing=0.0):
    """The formula of the docstring, holding every logit."""
    logits = history @ items.T  # [P, N]
    hard = F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    if teacher is None:
        return hard, hard, torch.zeros(())
    shares = torch.softmax(teacher.history_vectors @ teacher.item_vectors.T / temperature, dim=1)
    soft = F.cross_entropy(logits / temperature, shares)
    return (1 - alpha) * hard + alpha * temperature**2 * soft, hard, soft


def with_gradients(loss, history, items, *arguments, outer=1.0, **options):
    """Total, hard part, soft part, and the gradients of both tables."""
    history, items = history.clone().requires_grad_(), items.clone().requires_grad_()
    found = loss(history, items, *arguments, **options)
    total, hard, soft = (found.total, found.hard, found.soft) if isinstance(found, catalogue.CatalogueLoss) else found
    (total * outer).backward()
    return total.detach(), hard.detach(), soft.detach(), history.grad, items.grad


def both(tables, *, outer=1.0, precision=torch.float32, **options):
    history, items, targets, teacher = tables
    wanted = with_gradients(
        literal, history, items, targets, teacher if options.get("alpha") else None, outer=outer, **options
    )
    got = with_gradients(
        distillation_loss,
        history,
        items,
        targets,
        soft_labels=teacher if "alpha" in options else None,
        outer=outer,
        precision=precision,
        **options,
    )
    return got, wanted


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("small_chunks")
def test_values_and_gradients_are_those_of_the_literal_loss(tables, options):
    for got, wanted in zip(*both(tables, **options), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_one_chunk_gives_the_same_as_many(tables, options):
    assert chunk_positions(N) >= P
    for got, wanted in zip(*both(tables, **options), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("small_chunks")
def test_bfloat16_means_agree_to_two_per_cent_and_gradients_point_the_same_way(tables, options):
    """bfloat16 keeps 8 bits of a number: 1 part in 256, for a single one."""
    (total, hard, soft, *gradients), (*values, by_history, by_items) = both(tables, precision=torch.bfloat16, **options)
    for got, wanted in zip((total, hard, soft), values, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0.02, atol=0.02)
    for got, wanted in zip(gradients, (by_history, by_items), strict=True):
        assert F.cosine_similarity(got.flatten(), wanted.flatten(), dim=0) > 0.999
        assert abs(got.norm() / wanted.norm() - 1) < 0.02


def test_a_factor_outside_the_loss_reaches_both_gradients(tables):
    for got, wanted in zip(*both(tables, outer=3.0, alpha=0.7, temperature=2.0), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)


def test_gradients_are_the_slope_of_the_loss(tables):
    """A step of one hundredth along each number, both ways: no formula is trusted."""
    history, items, targets, teacher = tables
    tiny = history[:3], items[:4], targets[:3] % 4
    labels = SoftLabels(teacher.history_vectors[:3], teacher.item_vectors[:4])
    options = {"soft_labels": labels, "alpha": 0.4, "temperature": 2.0, "label_smoothing": 0.1}
    *_, by_history, by_items = with_gradients(distillation_loss, *tiny, **options)
    for table, gradient in zip(tiny[:2], (by_history, by_items), strict=True):
        for at in range(table.numel()):
            was = table.flatten()[at].item()
            ends = []
            for step in (0.01, -0.01):
                table.view(-1)[at] = was + step
                ends.append(float(distillation_loss(*tiny, **options).total))
            table.view(-1)[at] = was
            assert (ends[0] - ends[1]) / 0.02 == pytest.approx(float(gradient.flatten()[at]), abs=2e-3)


def test_two_items_and_one_position_by_hand():
    """Logits log 3 and 0: the student gives 3/4 and 1/4, the teacher one half each."""
    history, items = torch.tensor([[1.0]]), torch.tensor([[math.log(3)], [0.0]])
    even = SoftLabels(torch.zeros(1, 1), torch.zeros(2, 1))
    loss = distillation_loss(history, items, torch.tensor([0]), soft_labels=even, alpha=0.5)
    assert float(loss.hard) == pytest.approx(math.log(4 / 3))
    assert float(loss.soft) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)
    assert float(loss.total) == pytest.approx(0.5 * float(loss.hard) + 0.5 * float(loss.soft))


def test_a_target_that_the_student_thinks_impossible_costs_all_of_its_distance():
    """Its probability is too small for a float32, yet the loss and the soft part stay exact: 300, not 87."""
    history, items = torch.tensor([[1.0]]), torch.tensor([[300.0], [0.0]])
    sure = SoftLabels(torch.ones(1, 1), torch.tensor([[300.0], [0.0]]))
    for options in ({}, {"temperature": 2.0}):
        loss = distillation_loss(history, items, torch.tensor([1]), soft_labels=sure, alpha=0.5, **options)
        assert float(loss.hard) == pytest.approx(300.0)
        assert float(loss.soft) == pytest.approx(0.0, abs=1e-4)


def test_no_positions_cost_nothing_and_still_have_a_gradient():
    """A process of several may get no window of a small last batch; its gradient must be there to be averaged."""
    history, items = torch.zeros(0, D, requires_grad=True), torch.ones(N, D, requires_grad=True)
    loss = distillation_loss(history, items, torch.zeros(0, dtype=torch.int64))
    loss.total.backward()
    assert (float(loss.total.detach()), float(loss.hard), float(loss.soft)) == (0.0, 0.0, 0.0)
    assert items.grad.count_nonzero() == 0


def test_only_the_total_carries_gradients(tables):
    history, items, targets, teacher = tables
    loss = distillation_loss(history.requires_grad_(), items, targets, soft_labels=teacher, alpha=0.5)
    assert loss.total.requires_grad
    assert not loss.hard.requires_grad
    assert not loss.soft.requires_grad


def test_a_gradient_of_the_gradient_is_refused(tables):
    """It is not made in the forward pass, and a wrong one would go unseen."""
    history, items, targets, _ = tables
    history.requires_grad_()
    total = distillation_loss(history, items, targets).total
    (gradient,) = torch.autograd.grad(total**2, history, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation made."""

    numbers = 0

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        made = operation(*arguments, **(named or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


@pytest.mark.parametrize("options", [{}, {"alpha": 0.5}, {"alpha": 0.5, "temperature": 2.0}])
def test_positions_times_items_are_never_held(monkeypatch, options):
    positions, items = 400, 300
    monkeypatch.setattr(catalogue, "_CHUNK_LOGITS", 16 * items)
    torch.manual_seed(0)
    history, table = torch.randn(positions, 2, requires_grad=True), torch.randn(items, 2, requires_grad=True)
    teacher = SoftLabels(torch.randn(positions, 2), torch.randn(items, 2)) if options else None
    targets = torch.randint(items, (positions,))
    with LargestTensor() as largest:
        distillation_loss(history, table, targets, soft_labels=teacher, **options).total.backward()
    assert largest.numbers == 2 * 16 * items  # the buffer of a chunk
    with LargestTensor() as largest:
        literal(history, table, targets, None)
    assert largest.numbers == positions * items  # the instrument sees what it should


@pytest.mark.parametrize(
    ("n_items", "positions"), [(1, 512), (2048, 512), (12_101, 80), (17_000, 48), (10_000_000, 16)]
)
def test_a_chunk_shrinks_as_the_catalogue_grows(n_items, positions):
    """2 ** 20 logits at most, in multiples of 16, but never under 16 positions or over 512."""
    assert chunk_positions(n_items) == positions


def labels(positions=P, items=N, widths=(2, 2)):
    return SoftLabels(torch.zeros(positions, widths[0]), torch.zeros(items, widths[1]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"history": torch.zeros(P, D + 1)}, r"history vectors have shape \(37, 7\) and item vectors \(23, 6\)"),
        ({"items": torch.zeros(N)}, r"expected \[P, D\] and \[N, D\] with the same D"),
        ({"targets": torch.zeros(P - 1, dtype=torch.int64)}, r"targets have shape \(36,\); expected \(37,\)"),
        ({"alpha": 1.5}, r"alpha is 1.5; expected 0 \(hard labels only\) to 1"),
        ({"alpha": math.nan}, "alpha is nan"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a number above 0"),
        ({"temperature": math.nan}, "temperature is nan; expected a number above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0; expected 0 up to, not including, 1"),
        ({"alpha": 0.5}, "alpha is 0.5, but no teacher's soft labels were given; give them or set alpha to 0"),
        ({"soft_labels": labels(positions=5)}, "soft labels cover 5 positions; expected 37"),
        ({"soft_labels": labels(items=5)}, "soft labels rank 5 items; expected the catalogue's 23"),
        ({"soft_labels": labels(widths=(2, 3))}, r"shape \(37, 2\) and its item vectors \(23, 3\); expected the same"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(changes, message):
    given = {"history": torch.zeros(P, D), "items": torch.zeros(N, D), "targets": torch.zeros(P, dtype=torch.int64)}
    given |= changes
    with pytest.raises(SettingsError, match=message):
        distillation_loss(given.pop("history"), given.pop("items"), given.pop("targets"), **given)
