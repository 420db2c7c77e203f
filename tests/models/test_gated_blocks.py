"""LiGR's and HSTU's blocks are their formulas."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from distilrec.errors import SettingsError
from distilrec.models.blocks import CausalBlock
from distilrec.models.gated_blocks import GatedBlock, PointwiseBlock
from distilrec.models.taps import Tap, tapped
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch

WIDTH, HEADS, LENGTH, N_ITEMS = 4, 2, 3, 12


def loud(module):
    """Weights far from zero, so that every part shows."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.eval()


def make(block, positions="learnt", **changes):
    settings = TransformerSettings(width=WIDTH, heads=HEADS, blocks=2, max_length=5, block=block, positions=positions)
    return loud(Transformer(settings.with_changes(**changes), N_ITEMS))


@pytest.fixture
def x():
    return torch.randn(2, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))


def vectors(model, *histories):
    with torch.no_grad():
        return model.history_vectors(Batch.of(histories), model.item_vectors()).numpy()


def test_gates_scale_what_each_branch_adds(x):
    """With the same weights a plain block adds a + f; a gated one adds sigmoid(x W) times each."""
    plain = loud(CausalBlock(WIDTH, heads=HEADS, feedforward=5, dropout=0))
    gated = loud(GatedBlock(WIDTH, heads=HEADS, feedforward=5, dropout=0))
    gated.load_state_dict(plain.state_dict(), strict=False)
    attended = plain._attend(plain.attention_norm(x))
    middle = x + torch.sigmoid(x @ gated.attention_gate.weight.T + gated.attention_gate.bias) * attended
    hidden = F.gelu(plain.feedforward_in(plain.feedforward_norm(middle)))
    gate = torch.sigmoid(middle @ gated.feedforward_gate.weight.T + gated.feedforward_gate.bias)
    torch.testing.assert_close(gated(x), middle + gate * plain.feedforward_out(hidden))


def test_gates_that_are_shut_let_nothing_through_and_open_ones_make_the_plain_block(x):
    plain = loud(CausalBlock(WIDTH, heads=HEADS, feedforward=5, dropout=0))
    gated = GatedBlock(WIDTH, heads=HEADS, feedforward=5, dropout=0)
    gated.load_state_dict(plain.state_dict(), strict=False)
    for gate in (gated.attention_gate, gated.feedforward_gate):
        nn.init.zeros_(gate.weight)
    for bias, wanted in ((-100, x), (100, plain(x))):
        for gate in (gated.attention_gate, gated.feedforward_gate):
            nn.init.constant_(gate.bias, bias)
        torch.testing.assert_close(gated(x), wanted)


def literal_hstu(block, x):
    """Equations 1 to 3 of Zhai et al. 2024 for one history, [L, D], a pair of positions and a head at a time."""
    u, v, q, k = F.silu(block.gate_value_query_key(block.input_norm(x))).chunk(4, dim=-1)
    attended, size = torch.zeros_like(x), WIDTH // HEADS
    for head in range(HEADS):
        mine = slice(head * size, (head + 1) * size)
        for to in range(len(x)):
            for of in range(to + 1):
                bias = 0.0 if block.distance_bias is None else block.distance_bias[to - of]
                attended[to, mine] += F.silu(q[to, mine] @ k[of, mine] + bias) / len(x) * v[of, mine]
    return x + block.out(block.attended_norm(attended) * u)


@pytest.mark.parametrize("distances", [None, LENGTH])
def test_pointwise_attention_is_its_formula(x, distances):
    block = loud(PointwiseBlock(WIDTH, heads=HEADS, distances=distances, dropout=0))
    block.attended_norm.eps = 0.0  # so that dividing by L, as the paper does before this norm, changes nothing
    with torch.no_grad():
        wanted = torch.stack([literal_hstu(block, row) for row in x])
        torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("positions", "differ"), [("none", False), ("relative", True), ("learnt", True)])
def test_one_pointwise_block_knows_an_order_by_its_positions_alone(positions, differ):
    first, swapped = vectors(make("hstu", positions, blocks=1), [1, 2, 3], [2, 1, 3])[:, -1]
    assert (np.abs(first - swapped).max() > 1e-3) == differ


@pytest.mark.parametrize("block", ["ligr", "hstu"])
def test_dropout_inside_the_blocks_changes_training(block):
    batch = Batch.of([[1, 2, 3]])
    still = make(block, dropout=0, embedding_dropout=0).train()
    assert torch.equal(still(batch)[0], still(batch)[0])
    model = make(block, dropout=0.5, embedding_dropout=0).train()
    assert not torch.equal(model(batch)[0], model(batch)[0])


def test_attention_of_a_gated_block_can_be_looked_into():
    model, tap = make("ligr"), Tap("attention", "blocks.1")
    with tapped(model, [tap]) as found:
        vectors(model, [1, 2, 3])
    torch.testing.assert_close(found.caught[tap].sum(dim=-1), torch.ones(1, HEADS, 3))


def test_the_parameters_can_be_counted_by_hand():
    """Items 12x4, places 3x4, a last norm of 8. LiGR: the plain block's 136 and two gates of 4x4+4. HSTU: 4x16+16,
    4x4+4, two norms of 8, and in place of places three distances."""
    one = {"width": 4, "max_length": 3}
    assert Transformer(TransformerSettings(**one, block="ligr"), N_ITEMS).n_parameters == 48 + 12 + 8 + 136 + 40
    relative = TransformerSettings(**one, block="hstu", positions="relative")
    assert Transformer(relative, N_ITEMS).n_parameters == 48 + 8 + 80 + 20 + 16 + 3


def test_settings_from_before_there_was_a_choice_are_the_plain_block():
    old = {"width": 4, "blocks": 1, "heads": 1, "feedforward_ratio": 1.0, "positions": "learnt", "max_length": 3}
    model = Transformer(TransformerSettings.model_validate(old), N_ITEMS)
    assert type(model.blocks[0]) is CausalBlock


@pytest.mark.parametrize("block", ["sasrec", "ligr"])
def test_relative_positions_are_refused_where_there_are_none(block):
    with pytest.raises(SettingsError, match=f"block {block} knows no relative positions; choose learnt or none"):
        make(block, "relative")


def test_a_block_of_another_name_is_refused():
    with pytest.raises(SettingsError, match="block: Input should be 'sasrec', 'ligr' or 'hstu'"):
        TransformerSettings().with_changes(block="mamba")
