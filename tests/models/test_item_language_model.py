"""Item vectors through a language model's body: looks only backwards, never at padding, the same folded or saved."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.models.body import body_from_config
from distilrec.models.item_language_model import ItemLanguageModel, ItemLanguageModelSettings
from distilrec.models.kinds import rebuild
from distilrec.models.tables import ContentTable
from distilrec.types import Batch

pytest.importorskip("transformers", reason="transformers is not installed")

N_ITEMS, WIDTH, BODY_WIDTH = 12, 8, 16
BERT = {
    "model_type": "bert",
    "hidden_size": BODY_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 7,
}
LLAMA = {**BERT, "model_type": "llama", "num_key_value_heads": 1, "use_cache": False}
SHAPE = ItemLanguageModelSettings(body_config=BERT, width=WIDTH, max_length=5, precision="float32")


def make(settings=SHAPE, *, tune=False, **options):
    """A model whose weights are far from zero, so that every part of it shows in the scores."""
    torch.manual_seed(0)
    body = body_from_config(settings.body_config)
    if tune:
        body.tune(settings)
    model = ItemLanguageModel(settings, N_ITEMS, body=body, **options)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture
def model():
    return make()


@torch.no_grad()
def vectors(model, *histories):
    return model.history_vectors(Batch.of(histories), model.item_vectors()).numpy()


def test_a_later_item_changes_nothing_before_it(model):
    before, after = vectors(model, [1, 2, 3, 4])[0], vectors(model, [1, 2, 9, 4])[0]
    np.testing.assert_array_equal(before[:2], after[:2])
    assert np.abs(before[2:] - after[2:]).max() > 0.1


def test_an_earlier_item_and_its_place_count(model):
    first, other, swapped = vectors(model, [1, 2, 3], [7, 2, 3], [2, 1, 3])[:, -1]
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first - swapped).max() > 1e-3


def test_a_short_history_beside_a_long_one_scores_as_it_does_alone(model):
    histories = [[1], [2, 3, 4, 5, 6], [7, 8]]
    together = model.scores(Batch.of(histories))
    alone = np.concatenate([model.scores(Batch.of([history])) for history in histories])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def test_what_stands_in_the_padding_does_not_matter(model):
    batch = Batch.of([[1, 2], [3, 4, 5]])
    dirty = Batch(np.where(batch.mask, batch.items, 11), batch.lengths)
    np.testing.assert_array_equal(model.scores(batch), model.scores(dirty))


def test_a_long_history_scores_as_its_newest_items_do(model):
    whole, cut = [9, 9, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(model.scores(Batch.of([whole])), model.scores(Batch.of([cut])))


def test_no_histories_and_an_empty_history_score_without_complaint(model):
    assert model.scores(Batch.of([])).shape == (0, N_ITEMS)
    np.testing.assert_array_equal(model.scores(Batch.of([[]])), model.scores(Batch.of([[0]])))


def test_what_forward_gives_for_every_position_multiplies_to_the_scores_after_it(model):
    """This is what extraction of a teacher's knowledge takes."""
    with torch.no_grad():
        histories, items = model(Batch.of([[1, 2, 3], [4]]))
    assert (histories.shape, items.shape) == ((4, WIDTH), (N_ITEMS, WIDTH))
    wanted = model.scores(Batch.of([[1], [1, 2], [1, 2, 3], [4]]))
    np.testing.assert_allclose((histories @ items.T).detach().numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_item_vectors_come_into_the_body_with_the_spread_of_its_words():
    body = body_from_config(SHAPE.body_config)
    body.word_std = 0.7
    content = np.random.default_rng(0).normal(size=(N_ITEMS, 20)).astype(np.float32)
    table = ContentTable(content, WIDTH, free=False)
    model = ItemLanguageModel(SHAPE, N_ITEMS, body=body, table=table)
    assert float(model.project_in(model.item_vectors()).detach().std()) == pytest.approx(0.7, rel=0.25)


def test_before_training_hardly_any_item_stands_out():
    """The scores of the items differ by far less than one, so the first loss is about the logarithm of their number."""
    torch.manual_seed(0)
    scores = ItemLanguageModel(SHAPE, N_ITEMS).scores(Batch.of([[1, 2, 3], [4]]))
    assert 0 < scores.std() < 0.2


def test_dropout_is_for_training_and_scores_leaves_the_mode_as_it_was(model):
    batch = Batch.of([[1, 2, 3]])
    model.train()
    assert not torch.equal(model(batch)[0], model(batch)[0])
    np.testing.assert_array_equal(model.scores(batch), model.scores(batch))
    assert model.training
    with pytest.raises(DataError):
        model.scores(Batch.of([[N_ITEMS]]))
    assert model.training
    model.eval()
    model.scores(batch)
    assert not model.training


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_embedding_dropout_alone_changes_training(share):
    model = make(SHAPE.with_changes(body_config=LLAMA, embedding_dropout=share)).train()  # Llama has none of its own
    batch = Batch.of([[1, 2, 3]])
    assert torch.equal(model(batch)[0], model(batch)[0]) == (share == 0)


def test_bfloat16_is_for_the_body_outside_of_training_and_nearly_the_same():
    batch, wanted = Batch.of([[1, 2, 3], [4]]), make().scores(Batch.of([[1, 2, 3], [4]]))
    rough = make(SHAPE.with_changes(precision="bfloat16"))
    assert not np.array_equal(rough.scores(batch), wanted)
    np.testing.assert_allclose(rough.scores(batch), wanted, rtol=0.1, atol=0.3)
    assert rough.scores(batch).dtype == np.float32


def test_it_trains_under_autocast():
    model, batch = make().train(), Batch.of([[1, 2, 3], [4]])
    with torch.autocast("cpu", torch.bfloat16):
        histories, items = model(batch)
    (histories.float() @ items.float().T).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_pretrained_parameters_are_those_of_the_body_with_what_lora_adds():
    model = make(SHAPE.with_changes(fine_tune="lora"), tune=True)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(parameter)] for parameter in model.pretrained_parameters()}
    assert found == {name for name in names.values() if name.startswith("body.")}
    assert any("lora_A" in name for name in found)


def test_parameters_can_be_counted_by_hand():
    """Items 12x8, in 8x16+16, out 16x8+8, norm 2x8; the body has 7+2 places and kinds of 16, a norm, and twice: four
    projections of 16x16+16, 16x32+32, 32x16+16, two norms."""
    block = 4 * (256 + 16) + (512 + 32) + (512 + 16) + 2 * 32
    assert make().n_parameters == 96 + 144 + 136 + 16 + 9 * 16 + 32 + 2 * block


@pytest.mark.parametrize("free", [True, False])
def test_folding_a_content_table_changes_no_score(free):
    content = np.random.default_rng(0).normal(size=(N_ITEMS, 20)).astype(np.float32)
    model = make(table=ContentTable(content, WIDTH, free=free))
    folded, batch = model.fold(), Batch.of([[1, 2, 3], [4]])
    np.testing.assert_allclose(folded.scores(batch), model.scores(batch), rtol=1e-4, atol=1e-4)
    assert folded.n_parameters == make().n_parameters
    assert not folded.training


@pytest.mark.parametrize("config", [BERT, LLAMA])
def test_folding_merges_what_lora_learnt(config):
    model = make(SHAPE.with_changes(fine_tune="lora", body_config=config), tune=True)
    folded, batch = model.fold(), Batch.of([[1, 2, 3], [4]])
    np.testing.assert_allclose(folded.scores(batch), model.scores(batch), rtol=1e-3, atol=1e-3)
    assert not [name for name in folded.state() if "lora" in name]
    assert folded.n_parameters == make(SHAPE.with_changes(body_config=config)).n_parameters


def test_state_and_settings_alone_bring_the_same_model_back(model):
    settings = json.loads(json.dumps(model.settings.model_dump(mode="json")))
    again = rebuild("item_language_model", settings, model.state())
    batch = Batch.of([[1, 2, 3]])
    np.testing.assert_array_equal(again.scores(batch), model.scores(batch))
    assert again.settings == model.settings
    assert all(array.dtype == np.float32 for array in model.state().values())


def test_state_is_a_copy_that_further_training_leaves_alone(model):
    state = model.state()
    before = {name: array.copy() for name, array in state.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for name, array in before.items():
        np.testing.assert_array_equal(state[name], array)


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
    ],
)
def test_state_that_is_not_its_own_is_refused(model, change, message):
    state = model.state()
    change(state)
    with pytest.raises(ArtifactError, match=message):
        ItemLanguageModel.from_state(model.settings, state)


def test_settings_without_the_bodys_configuration_are_refused(model):
    with pytest.raises(ArtifactError, match="the settings lack body_config"):
        ItemLanguageModel.from_state(ItemLanguageModelSettings(width=WIDTH), model.state())


def test_histories_longer_than_the_body_reads_are_refused():
    """The body has places for seven."""
    assert ItemLanguageModel(SHAPE.with_changes(max_length=7), N_ITEMS).max_length == 7
    with pytest.raises(SettingsError, match="max_length is 8, but the body reads at most 7 positions; lower"):
        ItemLanguageModel(SHAPE.with_changes(max_length=8), N_ITEMS)


def test_a_window_longer_than_the_model_reads_is_refused(model):
    with pytest.raises(SettingsError, match="histories have 6 positions; expected at most 5"):
        model(Batch.of([[1, 2, 3, 4, 5, 6]]))


@pytest.mark.parametrize("item", [-1, N_ITEMS])
def test_an_item_of_another_catalogue_is_refused(model, item):
    with pytest.raises(DataError, match=rf"item {item} is outside the catalogue of 12 items \(rows 0 to 11\)"):
        model.scores(Batch.of([[1, item]]))
