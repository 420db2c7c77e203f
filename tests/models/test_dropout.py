"""Dropout with fast random numbers: the right share, the right scale, the right gradient, and no luck."""

import pytest
import torch

from distilrec.models.blocks import causal_attention
from distilrec.models.dropout import dropout


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_a_share_of_the_units_is_dropped_and_the_mean_stays(share):
    torch.manual_seed(0)
    dropped = dropout(torch.ones(100_003), share, training=True)
    assert float((dropped == 0).float().mean()) == pytest.approx(share, abs=0.01)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.03)
    assert len(dropped.unique()) == 2


def test_the_gradient_passes_where_a_unit_was_kept_with_the_same_scale():
    x = torch.randn(40, 30, requires_grad=True)
    dropped = dropout(x, 0.5, training=True)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(dropped == 0, 0.0, 2.0))


def test_nothing_is_dropped_outside_of_training_or_with_a_share_of_zero():
    x = torch.randn(3, 4)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x


def test_torch_s_seed_decides_which_units_fall():
    x = torch.ones(1000)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropout(x, 0.5, training=True))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_a_tiny_share_still_drops_something_and_a_huge_one_leaves_something():
    """The share is rounded to 1/256, but never to nothing or to all."""
    torch.manual_seed(0)
    x = torch.ones(20_000)
    assert 0 < int((dropout(x, 0.0001, training=True) == 0).sum()) < 200
    assert 0 < int((dropout(x, 0.9999, training=True) != 0).sum()) < 200


def test_attention_written_out_equals_the_fused_one():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 5) for _ in range(3))
    with torch.no_grad():
        fused = causal_attention(query, key, value, 0.0)
    written = causal_attention(query.requires_grad_(), key, value, 0.0)
    torch.testing.assert_close(written.detach(), fused)
    assert written.requires_grad
