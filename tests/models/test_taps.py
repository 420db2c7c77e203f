"""What is caught inside a network is what its layers give, in training and out of it, with gradients and without."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.errors import SettingsError
from distilrec.models.blocks import causal_shares
from distilrec.models.body import BodySettings, load_body
from distilrec.models.taps import Tap, tapped
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch
from tiny_bodies import shared_body

BATCH = Batch.of([[1, 2, 3], [4]])


def network(**changes):
    torch.manual_seed(0)
    return Transformer(TransformerSettings(width=8, heads=2, dropout=0, embedding_dropout=0, **changes), n_items=6)


def caught(model, *taps, **options):
    with tapped(model, taps, **options) as found:
        model(BATCH)
    return found


def test_each_position_and_those_before_it_share_one():
    """Two positions with keys 0 and queries 0 are alike: the second gives a half to each."""
    shares = causal_shares(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4))
    assert shares.tolist() == [[[[1, 0], [0.5, 0.5]]]]


def test_shares_are_the_softmax_of_scaled_products():
    """q = 2 at width 4 against keys 0 and (ln 3, 0, 0, 0): scores 0 and 2 ln 3 / 2, so shares 1/4 and 3/4."""
    query, key = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
    query[..., 1, 0], key[..., 1, 0] = 2, float(np.log(3))
    np.testing.assert_allclose(causal_shares(query, key)[0, 0, 1], [1 / 4, 3 / 4], rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_a_block_attends_by_the_shares_that_are_caught(training):
    """The values mixed by the caught shares, projected, are what the block's attention gives."""
    model, tap = network().train(training), Tap("attention", "blocks.0")
    inside = [Tap("hidden", f"blocks.0.{name}") for name in ("query_key_value", "attention_out")]
    found = caught(model, tap, *inside).caught
    value = found[inside[0]].chunk(3, dim=2)[2].view(2, 3, 2, 4).transpose(1, 2)
    mixed = (found[tap] @ value).transpose(1, 2).reshape(2, 3, 8)
    torch.testing.assert_close(model.blocks[0].attention_out(mixed), found[inside[1]])


def test_dropout_of_the_attention_is_not_in_what_is_caught():
    tap = Tap("attention", "blocks.0")
    shares = caught(network().train(), tap).caught[tap]
    again = caught(Transformer.from_state(network().settings.with_changes(dropout=0.5), network().state()).train(), tap)
    torch.testing.assert_close(again.caught[tap], shares)


def test_gradients_flow_only_where_they_are_wanted():
    model, tap = network().train(), Tap("relation", "blocks.0", of="value")
    assert not caught(model, tap).caught[tap].requires_grad
    caught(model, tap, detach=False).caught[tap].square().sum().backward()
    weight = model.blocks[0].query_key_value.weight.grad
    assert not weight[:16].any()  # queries and keys
    assert weight[16:].abs().sum() > 0  # values


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize(("of", "third"), [("query", 0), ("key", 1), ("value", 2)])
def test_a_relation_is_of_the_queries_keys_or_values_split_into_its_own_heads(of, third, heads):
    made, tap = Tap("hidden", "blocks.0.query_key_value"), Tap("relation", "blocks.0", heads, of)
    found = caught(network(), made, tap).caught
    split = found[made][:, :, 8 * third : 8 * third + 8].view(2, 3, heads, 8 // heads).transpose(1, 2)
    torch.testing.assert_close(found[tap], causal_shares(split, split))


def test_rows_are_the_real_positions_and_the_real_pairs_window_after_window():
    hidden, shares = Tap("hidden", "blocks.0"), Tap("attention", "blocks.0")
    found = caught(network(), hidden, shares)
    rows = found.rows(BATCH)
    whole, square = found.caught[hidden], found.caught[shares]
    torch.testing.assert_close(rows["hidden.blocks.0"], torch.cat([whole[0], whole[1, :1]]))
    pairs = torch.cat([square[0].permute(1, 2, 0).reshape(9, 2), square[1, :, :1, :1].permute(1, 2, 0).reshape(1, 2)])
    torch.testing.assert_close(rows["attention.blocks.0"], pairs)
    assert (hidden.per, shares.per) == ("position", "pair")


@pytest.mark.parametrize(
    "column",
    ["hidden.blocks.0", "attention.blocks.0", "relation.blocks.0", "relation.a.value", "hidden.a.value"],
)
def test_a_tap_is_named_by_its_column_and_back(column):
    assert Tap.parse(column).column == column


def test_the_name_of_a_relation_tells_what_it_is_of_and_not_into_how_many_heads_it_is_split():
    assert Tap.parse("relation.blocks.0.key", heads=4) == Tap("relation", "blocks.0", 4, "key")
    assert Tap.parse("relation.blocks.0", heads=4) == Tap("relation", "blocks.0", 4)
    assert Tap.parse("attention.blocks.0", heads=4) == Tap("attention", "blocks.0")  # has the layer's own heads


@pytest.mark.parametrize("column", ["history_vectors", "hidden.", "depth.blocks.0"])
def test_a_name_of_nothing_inside_a_network_is_refused(column):
    with pytest.raises(SettingsError, match=rf"'{column}' names nothing inside a network; expected hidden, attention"):
        Tap.parse(column)


@pytest.mark.parametrize(
    ("kind", "layer", "names"),
    [
        ("bert", "model.encoder.layer.0.attention.self", ["query", "key", "value"]),
        ("llama", "model.layers.0.self_attn", ["q_proj", "k_proj", "v_proj"]),
        ("distilbert", "model.transformer.layer.0.attention", ["q_lin", "k_lin", "v_lin"]),
        ("t5", "model.block.0.layer.0.SelfAttention", ["q", "k", "v"]),
    ],
)
def test_a_language_models_own_queries_keys_and_values_are_related_too(kind, layer, names, tmp_path_factory):
    model = body(kind, tmp_path_factory)
    for of, name in zip(("query", "key", "value"), names, strict=True):
        whole, own = Tap("relation", layer, 2, of), Tap("relation", f"{layer}.{name}", 2)
        with tapped(model, [whole, own]) as found:
            model(torch.ones(1, 3, 16))
        torch.testing.assert_close(found.caught[whole], found.caught[own])
        assert found.caught[whole].shape == (1, 2, 3, 3)


def test_gpt2_makes_its_queries_keys_and_values_in_one_product_as_our_blocks_do(tmp_path_factory):
    model = body("gpt2", tmp_path_factory)
    made, tap = Tap("hidden", "model.h.0.attn.c_attn"), Tap("relation", "model.h.0.attn", 1, "value")
    with tapped(model, [made, tap]) as found:
        model(torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(0)))
    value = found.caught[made][:, None, :, 32:]
    torch.testing.assert_close(found.caught[tap], causal_shares(value, value))


def body(kind, tmp_path_factory):
    return load_body(BodySettings(body=str(shared_body(kind, tmp_path_factory.getbasetemp())))).eval()


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        (Tap("hidden", "blocks.7"), r"the student has no layer 'blocks.7'; near it are blocks"),
        (Tap("hidden", ""), r"the student has no layer ''; near it are "),
        (Tap("hidden", "table"), r"table gives no \[B, L, H\] tensor; name a layer that does, such as a whole block"),
        (Tap("attention", "norm"), "norm gives no attention weights; name one of our blocks, or an attention layer"),
        (Tap("relation", "norm", of="key"), "norm makes no queries, keys and values; name one of our blocks"),
        (Tap("relation", "norm", 3), "norm has width 8, which does not divide by 3 relation heads"),
    ],
)
def test_what_a_network_lacks_is_refused_in_words(tap, message):
    with pytest.raises(SettingsError, match=message):
        caught(network(), tap, whose="student")


def test_only_relations_are_of_a_part_of_a_layer():
    with pytest.raises(SettingsError, match=r"hidden of blocks.0 is of the layer; only a relation is of its key"):
        Tap("hidden", "blocks.0", of="key")


def test_a_layer_without_a_row_for_each_position_is_refused():
    """A convolution gives [B, D, L]."""

    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.turn = nn.Conv1d(5, 5, 1)

        def forward(self, batch):
            self.turn(torch.zeros(len(batch), 5, 3))

    found = caught(Turned(), Tap("hidden", "turn"))
    with pytest.raises(SettingsError, match=r"turn gives a tensor of shape \(2, 5, 3\) for 2 histories of 3 positions"):
        found.rows(BATCH)


def test_nothing_is_left_on_the_network_afterwards():
    model = network()
    caught(model, Tap("hidden", "blocks.0"), Tap("attention", "blocks.0"))
    assert not any(module._forward_hooks for module in model.modules())
