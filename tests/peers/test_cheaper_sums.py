"""What peers are trained with in place of their own, dearer sums: it must be the same."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers" / "theirs"))
from by_matrices import Logits
from coin import Coin

# --- products with items that are drawn -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_states", [0, 1, Logits.PART, 2 * Logits.PART + 3])
def test_products_by_matrices_are_those_of_the_vectors_that_are_asked_for(n_states):
    torch.manual_seed(0)
    states, items = torch.randn(n_states, 8), torch.randn(20, 8)
    asked = torch.randint(0, 20, (n_states, 5))  # with repeats
    found = [states.clone().requires_grad_(), items.clone().requires_grad_()]
    wanted = [states.clone().requires_grad_(), items.clone().requires_grad_()]
    ours = Logits.apply(*found, asked)
    theirs = torch.einsum("pd,pcd->pc", wanted[0], wanted[1][asked])
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn(n_states, 5)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


# --- dropout of one half ----------------------------------------------------------------------------------------------


def test_a_coin_keeps_half_of_the_values_doubled_wherever_they_lie():
    torch.manual_seed(0)
    thrown = Coin()(torch.ones(8192, 8))  # a byte of each of the eight random ones in an integer
    assert set(thrown.unique().tolist()) == {0.0, 2.0}
    assert thrown.mean(dim=0).tolist() == pytest.approx([1.0] * 8, abs=0.04)  # four standard errors
    assert torch.corrcoef(thrown.T).fill_diagonal_(0).abs().max() < 0.05


def test_what_a_coin_drops_gets_no_gradient():
    values = torch.randn(3, 5, requires_grad=True)
    thrown = Coin()(values)
    thrown.sum().backward()
    assert torch.equal(values.grad, torch.where(thrown == 0, 0.0, 2.0))


def test_two_throws_differ_and_a_seed_repeats_them():
    values, coin = torch.ones(100), Coin()
    torch.manual_seed(1)
    first, second = coin(values), coin(values)
    torch.manual_seed(1)
    assert torch.equal(coin(values), first)
    assert not torch.equal(second, first)


def test_a_coin_leaves_all_as_it_is_where_nothing_is_trained():
    values = torch.randn(7)
    assert Coin().eval()(values) is values
