"""Scores of lists against the plain product that holds every logit."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from distilrec.distil.losses import lists
from distilrec.distil.losses.lists import find_columns, gather_logits, look_up, top_items
from distilrec.errors import SettingsError
from distilrec.mixture.parts import SoftLists

P, N, D, K = 37, 101, 6, 9


@pytest.fixture
def tables():
    """History vectors, item vectors, and lists in no order, of which three are short and one is empty."""
    torch.manual_seed(0)
    items = torch.stack([torch.randperm(N)[:K] for _ in range(P)])
    for row, length in enumerate((4, 1, 0)):
        items[row, length:] = -1
    return torch.randn(P, D), torch.randn(N, D), items


def literal(history, items, chosen, rows=None):
    """Every logit, then those that are asked for."""
    logits = (history if rows is None else history[rows]) @ items.T
    return torch.where(chosen >= 0, logits.gather(1, chosen.clamp(min=0)), 0.0)


def with_gradients(scores, history, items, *arguments):
    history, items = history.clone().requires_grad_(), items.clone().requires_grad_()
    found = scores(history, items, *arguments)
    (found * torch.arange(found.numel()).view(found.shape)).sum().backward()
    return found.detach(), history.grad, items.grad


def test_scores_and_gradients_of_lists_are_those_of_the_whole_product(tables):
    for got, wanted in zip(with_gradients(gather_logits, *tables), with_gradients(literal, *tables), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-3)


def test_several_lists_may_belong_to_one_position(tables):
    history, items, chosen = tables
    given = history, items, chosen[3:7], torch.tensor([5, 0, 5, 36])
    for got, wanted in zip(with_gradients(gather_logits, *given), with_gradients(literal, *given), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_gradients_are_the_slope_of_the_scores(tables):
    history, items, chosen = tables[0][:3], tables[1][:K], tables[2][:3]
    chosen = torch.where(chosen >= 0, chosen % 4, -1)  # the same item several times in a row
    wide = history.double().requires_grad_(), items.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda h, i: gather_logits(h, i, chosen), wide)


def test_lists_may_be_padded_to_more_than_there_are_items():
    items = torch.tensor([[1, 0, -1, -1, -1]])
    assert gather_logits(torch.tensor([[2.0]]), torch.tensor([[3.0], [5.0]]), items).tolist() == [[10, 6, 0, 0, 0]]


def test_two_lists_by_hand():
    """Item 0 points along the first axis, item 1 along both."""
    history, items = torch.tensor([[2.0, 3.0], [5.0, 7.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert gather_logits(history, items, torch.tensor([[1, 0], [0, -1]])).tolist() == [[5.0, 2.0], [5.0, 0.0]]


def test_scores_of_tables_in_bfloat16_are_float32_and_their_gradients_bfloat16(tables):
    history, items, chosen = tables
    scores, by_history, by_items = with_gradients(gather_logits, history.bfloat16(), items.bfloat16(), chosen)
    assert (scores.dtype, by_history.dtype, by_items.dtype) == (torch.float32, torch.bfloat16, torch.bfloat16)
    torch.testing.assert_close(scores, literal(history.bfloat16().float(), items.bfloat16().float(), chosen))


def test_collecting_vectors_first_gives_the_same(tables):
    """The way of accelerators, which the tests' processor does not take by itself."""
    history, items, chosen = tables
    collected = lists._collected(history, items, chosen.clamp(min=0), chosen >= 0)
    torch.testing.assert_close(collected, literal(*tables))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)])
def test_no_lists_and_lists_of_nothing_have_gradients_of_zero(shape):
    nothing = torch.zeros(shape, dtype=torch.int64)
    scores, by_history, by_items = with_gradients(gather_logits, torch.ones(shape[0], D), torch.ones(N, D), nothing)
    assert scores.shape == shape
    assert by_history.count_nonzero() == by_items.count_nonzero() == 0


@pytest.mark.parametrize("k", [1, 5, 14, 100, 101])
def test_top_items_are_those_of_a_full_sort(tables, monkeypatch, k):
    monkeypatch.setattr(lists, "_CHUNK_LOGITS", 16 * N)  # three chunks
    history, items, _ = tables
    assert top_items(history, items, k).tolist() == (history @ items.T).argsort(dim=1, descending=True)[:, :k].tolist()


def test_top_items_of_three_by_hand():
    """Scores 1, 3, 2 for the first and their opposites for the second."""
    history, items = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [3.0], [2.0]])
    assert top_items(history, items, 2).tolist() == [[1, 2], [0, 2]]


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation made."""

    numbers = 0

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        made = operation(*arguments, **(named or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                self.numbers = max(self.numbers, tensor.numel())
        return made


def test_positions_times_items_are_never_held(monkeypatch):
    positions, n_items = 400, 304
    monkeypatch.setattr(lists, "_CHUNK_LOGITS", 16 * n_items)
    torch.manual_seed(0)
    history, table = torch.randn(positions, 2, requires_grad=True), torch.randn(n_items, 2, requires_grad=True)
    with LargestTensor() as largest:
        gather_logits(history, table, top_items(history, table, 5)).sum().backward()
    assert largest.numbers == 16 * n_items  # the buffer of a chunk


def test_columns_of_items_in_lists():
    """7 is third, 9 is first, 8 is not there; and -1 is not an item, though it stands in the list."""
    found = find_columns(torch.tensor([[7, 9, 8, -1], [7, 9, 8, -1]]), torch.tensor([[9, 3, 7, -1], [8, -1, -1, -1]]))
    assert found.tolist() == [[2, 0, -1, -1], [-1, -1, 0, -1]]
    assert find_columns(torch.tensor([[7]]), torch.zeros(1, 0, dtype=torch.int64)).tolist() == [[-1]]


def test_items_outside_a_teachers_list_share_what_is_left():
    """Probabilities 1/2 and 1/4 are listed, so the other two of four items have 1/8 each."""
    given = SoftLists(torch.tensor([[3, 1, -1]]), torch.tensor([[1 / 2, 1 / 4, 1.0]]).log(), torch.zeros(1))
    logits = look_up(torch.tensor([[1, 0, 3, 2, -1]]), given, 4)
    assert logits[0, :4].exp().tolist() == pytest.approx([1 / 4, 1 / 8, 1 / 2, 1 / 8])
    assert logits[0, 4] == 0


def test_items_outside_a_teachers_list_share_what_is_left_as_its_tail_has_it():
    """A quarter is left to items 0 and 2, whose tail is 1 to 4."""
    tail = torch.tensor([0.1, 0.2, 0.4, 0.3])
    given = SoftLists(torch.tensor([[3, 1]]), torch.tensor([[1 / 2, 1 / 4]]).log(), torch.zeros(1), tail=tail)
    assert look_up(torch.tensor([[0, 2, 3]]), given, 4)[0].exp().tolist() == pytest.approx([1 / 20, 1 / 5, 1 / 2])


def test_a_list_that_holds_all_probability_leaves_next_to_nothing_but_a_finite_logit():
    given = SoftLists(torch.tensor([[0]]), torch.zeros(1, 1), torch.zeros(1))
    assert -40 < float(look_up(torch.tensor([[1]]), given, 2)) < -10


def test_an_empty_list_says_that_all_items_are_alike():
    given = SoftLists(torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 0), torch.zeros(1))
    assert float(look_up(torch.tensor([[1]]), given, 4)) == pytest.approx(math.log(1 / 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": torch.zeros(N, D + 1)}, r"history vectors have shape \(37, 6\) and item vectors \(101, 7\)"),
        ({"lists": torch.zeros(5, 2, dtype=torch.int64)}, r"lists of items have shape \(5, 2\); expected \(37, K\)"),
        ({"lists": torch.full((P, 2), N)}, "lists name items 101 to 101; the catalogue has 0 to 100"),
        ({"lists": torch.full((P, 2), -2)}, "-1 stands for the end of a list"),
        ({"rows": torch.zeros(2, dtype=torch.int64)}, r"lists of items have shape \(37, 1\); expected \(2, K\)"),
    ],
)
def test_lists_that_do_not_fit_are_refused(changes, message):
    given = {"history": torch.zeros(P, D), "items": torch.zeros(N, D), "lists": torch.zeros(P, 1, dtype=torch.int64)}
    given |= changes
    with pytest.raises(SettingsError, match=message):
        gather_logits(given["history"], given["items"], given["lists"], given.get("rows"))


@pytest.mark.parametrize("k", [0, N + 1])
def test_a_top_list_of_nothing_or_of_more_than_there_is_is_refused(k):
    with pytest.raises(SettingsError, match=f"k is {k}; expected 1 to the catalogue's 101 items"):
        top_items(torch.zeros(P, D), torch.zeros(N, D), k)
