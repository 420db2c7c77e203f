"""The transformer is the same model folded or saved; what it shares with all students is in tests/contracts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.models.tables import ContentTable
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.types import Batch

N_ITEMS, SHAPE = 12, TransformerSettings(width=8, blocks=2, heads=2, max_length=5, feedforward_ratio=2)


def make(settings=SHAPE, **options):
    """A model whose weights are far from zero, so that every part of it shows in the scores."""
    torch.manual_seed(0)
    model = Transformer(settings, N_ITEMS, **options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture
def model():
    return make()


def vectors(model, *histories):
    with torch.no_grad():
        return model.history_vectors(Batch.of(histories), model.item_vectors()).numpy()


@pytest.mark.parametrize("block", ["sasrec", "ligr", "hstu"])
def test_after_the_newest_item_it_says_what_it_says_at_that_position(block):
    model = make(SHAPE.with_changes(block=block))
    table = model.item_vectors()
    batch = Batch.of([[1, 2, 3, 4, 5], [6], [7, 8]])
    every = model.history_vectors(batch, table).detach().numpy()
    lengths = torch.from_numpy(batch.lengths)
    newest = model.read_newest(table[torch.from_numpy(batch.items)], lengths).detach().numpy()
    np.testing.assert_allclose(newest, every[[0, 1, 2], batch.lengths - 1], rtol=1e-4, atol=1e-5)


@given(st.lists(st.lists(st.integers(0, 11), max_size=9), max_size=4), st.integers(1, 10))
def test_cutting_a_batch_is_cutting_its_histories(histories, max_length):
    cut, wanted = Batch.of(histories).newest(max_length), Batch.of(histories, max_length=max_length)
    np.testing.assert_array_equal(cut.items, wanted.items)
    np.testing.assert_array_equal(cut.lengths, wanted.lengths)


def test_a_norm_at_the_input_hears_not_how_long_vectors_are():
    model = make(SHAPE.with_changes(input_norm=True, positions="none"))
    vectors = model.item_vectors()[None, :3]
    torch.testing.assert_close(model.read(5 * vectors), model.read(vectors), rtol=1e-3, atol=1e-4)
    without = make(SHAPE.with_changes(positions="none"))
    assert not torch.allclose(without.read(5 * vectors), without.read(vectors), rtol=0.1, atol=0.1)


def test_scores_are_the_product_of_the_last_vector_and_the_item_table(model):
    wanted = vectors(model, [1, 2, 3])[0, 2] @ model.item_vectors().detach().numpy().T
    scores = model.scores(Batch.of([[1, 2, 3]]))
    assert (scores.shape, scores.dtype) == ((1, N_ITEMS), np.float32)
    np.testing.assert_allclose(scores[0], wanted, rtol=1e-5)


def test_forward_gives_one_vector_a_real_position(model):
    batch = Batch.of([[1, 2], [3]])
    histories, items = model(batch)
    assert (histories.shape, items.shape) == ((3, 8), (N_ITEMS, 8))
    np.testing.assert_allclose(histories[2].detach(), vectors(model, [3])[0, 0], rtol=1e-5, atol=1e-6)


def test_the_mode_is_put_back_even_when_scoring_fails(model):
    model.train()
    with pytest.raises(DataError):
        model.scores(Batch.of([[N_ITEMS]]))
    assert model.training


SIZES = {"width": 16, "blocks": 3, "feedforward_ratio": 1, "positions": "none", "max_length": 9} | {
    "input_norm": True,
    "feedforward_widths": (5, 6),
    "block_heads": (1, 2),
}
DROPOUTS = ["dropout", "embedding_dropout"]


@pytest.mark.parametrize("field", DROPOUTS)
def test_each_dropout_alone_changes_training(field):
    still = {"dropout": 0.0, "embedding_dropout": 0.0}
    batch = Batch.of([[1, 2, 3]])
    model = make(SHAPE.with_changes(**still)).train()
    assert torch.equal(model(batch)[0], model(batch)[0])
    model = make(SHAPE.with_changes(**{**still, field: 0.5})).train()
    assert not torch.equal(model(batch)[0], model(batch)[0])


@pytest.mark.parametrize(("field", "value"), SIZES.items())
def test_each_size_changes_how_much_is_learnt(model, field, value):
    assert Transformer(SHAPE.with_changes(**{field: value}), N_ITEMS).n_parameters != model.n_parameters


def test_no_setting_is_left_out():
    """Blocks of other forms have their own tests, in test_gated_blocks.py."""
    assert {*SIZES, *DROPOUTS, "heads", "block"} == TransformerSettings.model_fields.keys()


@pytest.mark.parametrize("field", ["feedforward_widths", "block_heads"])
def test_what_is_said_for_each_block_must_be_said_for_all(field):
    for wrong in ((3,), (3, 0)):
        with pytest.raises(SettingsError, match=rf"{field} is \(3.*\); expected a number from 1 for each of 2 blocks"):
            make(SHAPE.with_changes(**{field: wrong}))
    with pytest.raises(SettingsError, match="block hstu has no feed-forward layer and keeps its heads"):
        make(SHAPE.with_changes(block="hstu", **{field: (1, 2)}))


def test_a_block_with_fewer_heads_has_heads_as_wide_as_before():
    block = make(SHAPE.with_changes(block_heads=(1, 2))).blocks[0]
    assert (block.head_width, block.attention_out.in_features) == (4, 4)


def test_without_places_one_block_sees_which_items_came_but_not_their_order():
    one_block = SHAPE.with_changes(blocks=1)
    for positions, differ in (("none", False), ("learnt", True)):
        first, swapped = vectors(make(one_block.with_changes(positions=positions)), [1, 2, 3], [2, 1, 3])[:, -1]
        assert (np.abs(first - swapped).max() > 1e-3) == differ


def test_heads_change_the_scores_but_not_the_size(model):
    other = Transformer.from_state(SHAPE.with_changes(heads=4), model.state())
    batch = Batch.of([[1, 2, 3]])
    assert other.n_parameters == model.n_parameters
    assert np.abs(other.scores(batch) - model.scores(batch)).max() > 1e-3


def test_the_parameters_can_be_counted_by_hand():
    """Items 12x4, places 3x4, attention 4x12+12 and 4x4+4, feed-forward 4x4+4 twice, three norms of 8."""
    model = Transformer(TransformerSettings(width=4, max_length=3), N_ITEMS)
    assert model.n_parameters == 48 + 12 + (60 + 20) + (20 + 20) + 3 * 8


@pytest.mark.parametrize("free", [True, False])
def test_folding_a_content_table_changes_no_score(free):
    content = np.random.default_rng(0).normal(size=(N_ITEMS, 20)).astype(np.float32)
    model = make(table=ContentTable(content, SHAPE.width, free=free))
    folded, batch = model.fold(), Batch.of([[1, 2, 3], [4]])
    np.testing.assert_allclose(folded.scores(batch), model.scores(batch), rtol=1e-4, atol=1e-4)
    assert folded.n_parameters == make().n_parameters
    assert not folded.training


def test_state_brings_the_same_model_back(model):
    again, batch = Transformer.from_state(SHAPE, model.state()), Batch.of([[1, 2, 3]])
    np.testing.assert_array_equal(again.scores(batch), model.scores(batch))
    assert all(array.dtype == np.float32 for array in model.state().values())


def test_state_is_a_copy_that_further_training_leaves_alone(model):
    state = model.state()
    before = state["table.weight"].copy()
    with torch.no_grad():
        model.table.weight.zero_()
    np.testing.assert_array_equal(state["table.weight"], before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("table.weight"), "the weights lack table.weight, the item table"),
        (lambda state: state.pop("norm.bias"), r"norm.bias: expected \(8,\), got None"),
        (lambda state: state.update({"extra": np.zeros(1)}), r"extra: expected None, got \(1,\)"),
        (lambda state: state.update({"norm.bias": np.zeros(3)}), r"norm.bias: expected \(8,\), got \(3,\)"),
        (
            lambda state: state.update({"norm.bias": np.full(8, np.nan)}),
            "the weights hold NaN or infinity in norm.bias",
        ),
        (lambda state: state.update({"table.weight": np.zeros(8)}), "the weights do not fit the settings"),
    ],
)
def test_state_that_is_not_its_own_is_refused(model, change, message):
    state = model.state()
    change(state)
    with pytest.raises(ArtifactError, match=message):
        Transformer.from_state(SHAPE, state)


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(SettingsError, match="width 10 does not divide by heads 3"):
        Transformer(TransformerSettings(width=10, heads=3), N_ITEMS)


@pytest.mark.parametrize("item", [-1, N_ITEMS])
def test_an_item_of_another_catalogue_is_refused(model, item):
    with pytest.raises(DataError, match=rf"item {item} is outside the catalogue of 12 items \(rows 0 to 11\)"):
        model.scores(Batch.of([[1, item]]))
