"""Histories and items as text: what is read of them, what is kept, what training sees, and what survives saving."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.errors import ArtifactError, DataError, TrainingError
from distilrec.models.body import BodySettings, body_from_config
from distilrec.models.kinds import rebuild
from distilrec.models.sampled import SampledVectors
from distilrec.models.text_language_model import TextLanguageModel, TextLanguageModelSettings
from distilrec.models.text_sampling import Sampler
from distilrec.types import Batch, Ragged

pytest.importorskip("transformers", reason="transformers is not installed")

BEGIN, END, AND = 1, 2, 3
TEXTS = Ragged.of([[5], [6, 7], [8, 9, 10, 11], [], [12], [13, 14]])  # of item 3 nothing is known
N_ITEMS, WIDTH = len(TEXTS), 8
BERT = {
    "model_type": "bert",
    "vocab_size": 16,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
SHAPE = TextLanguageModelSettings(
    body_config=BERT,
    pooling="mean",
    history_begin=(BEGIN,),
    item_begin=(BEGIN,),
    separator=(AND,),
    end=(END,),
    max_tokens=10,
    item_tokens=3,
    precision="float32",
)
RING = np.array([[(item - 1) % N_ITEMS, (item + 1) % N_ITEMS] for item in range(N_ITEMS)])
TRAINING = Batch(
    np.array([[0, 1, 2], [4, 5, 0], [2, 2, 0]]),
    np.array([3, 2, 2]),
    np.array([[1, 2, 3], [5, 0, -1], [4, 5, -1]]),  # one target has no text
)


def make(*, tune=None, counts=None, sampled=True, **changes):
    """A model whose weights are far from zero, so that every part of it shows in the scores."""
    settings = SHAPE.with_changes(**changes)
    torch.manual_seed(0)
    body = body_from_config(settings.body_config, words=True)
    for parameter in body.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.5)
    if tune:
        body.tune(BodySettings(fine_tune=tune))
    sampler = Sampler(
        positions=settings.positions, hard_negatives=settings.hard_negatives, neighbours=RING, counts=counts
    )
    return TextLanguageModel(settings, TEXTS, body=body, sampler=sampler if sampled else None).eval()


@pytest.fixture
def model():
    return make()


def reads(history, **changes):
    return make(**changes).read_of_history(np.array(history, dtype=np.int64)).tolist()


def test_the_newest_item_is_read_first():
    assert reads([1, 0]) == [BEGIN, 5, AND, 6, 7, END]
    assert reads([0, 1]) == [BEGIN, 6, 7, AND, 5, END]


@pytest.mark.parametrize(
    ("max_tokens", "wanted"),
    [
        (10, [BEGIN, 8, 9, 10, AND, 6, 7, AND, 5, END]),
        (9, [BEGIN, 8, 9, 10, AND, 6, 7, AND, END]),
        (7, [BEGIN, 8, 9, 10, AND, 6, END]),
        (4, [BEGIN, 8, 9, END]),
    ],
)
def test_the_oldest_items_are_cut_off_and_the_end_stays(max_tokens, wanted):
    assert reads([0, 1, 2], max_tokens=max_tokens) == wanted
    assert len(wanted) == max_tokens


def test_only_the_newest_items_are_read_and_of_each_only_the_first_words():
    assert reads([4, 0, 1], max_length=2) == [BEGIN, 6, 7, AND, 5, END]
    assert reads([1, 2], item_tokens=1) == [BEGIN, 8, AND, 6, END]


def test_items_without_text_leave_no_trace():
    assert reads([3, 0, 3, 1, 3]) == reads([0, 1])
    assert reads([3, 3]) == reads([]) == []


def test_an_item_by_itself_has_a_beginning_of_its_own():
    model = make(history_begin=(BEGIN, 4), item_begin=(15,))
    assert [model.read_of_item(item).tolist() for item in (2, 3, 4)] == [[15, 8, 9, 10, END], [], [15, 12, END]]
    assert model.read_of_history(np.array([4])).tolist() == [BEGIN, 4, 12, END]


def test_forward_gives_a_vector_for_every_real_position_and_every_item(model):
    batch = Batch.of([[0, 1, 2], [4]])
    histories, items = model(batch)
    assert (histories.shape, items.shape) == ((4, WIDTH), (N_ITEMS, WIDTH))
    prefixes = [np.array(history) for history in ([0], [0, 1], [0, 1, 2], [4])]
    torch.testing.assert_close(histories, model.history_vectors(prefixes), rtol=1e-4, atol=1e-4)
    assert not histories.requires_grad
    assert not items.requires_grad


def test_items_have_unit_length_and_histories_that_of_the_inverse_temperature(model):
    lengths = model.item_vectors().norm(dim=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 0, 1, 1], rtol=1e-5)
    for temperature, length in ((0.5, 2), (0.05, 20), (0.001, 100)):  # never longer than 100
        vector = make(temperature=temperature).history_vectors([np.array([1, 2])])
        np.testing.assert_allclose(vector.norm(dim=1), [length], rtol=1e-4)


def test_scores_are_the_products_after_the_last_position(model):
    histories, items = model(Batch.of([[4, 1, 2]]))
    scores = model.scores(Batch.of([[4, 1, 2]]))
    assert (scores.shape, scores.dtype) == ((1, N_ITEMS), np.float32)
    np.testing.assert_allclose(scores[0], histories[2] @ items.T, atol=1e-4)


def test_what_has_no_text_scores_zero(model):
    scores = model.scores(Batch.of([[1, 2], [3], []]))
    np.testing.assert_array_equal(scores[:, 3], [0, 0, 0])
    np.testing.assert_array_equal(scores[1:], np.zeros((2, N_ITEMS)))
    assert np.abs(scores[0, [0, 1, 2, 4, 5]]).min() > 0


@pytest.mark.parametrize("token_budget", [1, 12, 1000])
def test_how_much_is_read_at_once_changes_no_score(model, token_budget):
    batch = Batch.of([[0], [1, 2], [2, 0, 1, 5], [4, 3]])
    other = make(token_budget=token_budget)
    np.testing.assert_allclose(other.scores(batch), model.scores(batch), atol=1e-4)


def test_item_vectors_are_kept_until_the_weights_change(model):
    first = model.item_vectors()
    model.scores(Batch.of([[1]]))
    assert model.item_vectors() is first
    with torch.no_grad():
        model.body.model.embeddings.word_embeddings.weight.mul_(-1)
    assert (model.item_vectors() - first).abs().max() > 0.1


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_of_training_forgets_the_item_vectors(model, fused):
    """Torch's fused optimizers change weights without a trace."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=fused)
    first = model.item_vectors()
    model.train()
    model.item_vectors()
    (model(TRAINING).history_vectors * torch.arange(WIDTH)).sum().backward()
    optimizer.step()
    assert (model.eval().item_vectors() - first).abs().max() > 0.1


def test_weights_that_are_put_back_bring_their_item_vectors_back(model):
    best = {name: value.clone() for name, value in model.state_dict().items()}
    before = model.scores(Batch.of([[1, 2]]))
    with torch.no_grad():
        model.body.model.embeddings.word_embeddings.weight.mul_(-1)
    assert np.abs(model.scores(Batch.of([[1, 2]])) - before).max() > 0.1
    model.load_state_dict(best)
    np.testing.assert_array_equal(model.scores(Batch.of([[1, 2]])), before)


def sample(model, seed=0):
    torch.manual_seed(seed)
    return model.train()(TRAINING)


def test_training_sees_one_position_a_history_and_some_items(model):
    for seed in range(5):
        sampled = sample(model, seed)
        assert isinstance(sampled, SampledVectors)
        assert sampled.history_vectors.shape == (3, WIDTH)
        assert 3 <= len(sampled.item_vectors) <= 6
        assert sampled.targets.max() < len(sampled.item_vectors)
        assert sampled.history_vectors.requires_grad


def test_histories_and_targets_belong_together():
    """Of the seven positions the third has a target without text, so all others are drawn when three may be."""
    model = make(positions=3, hard_negatives=0)
    sampled, items = sample(model), model.item_vectors()
    chosen = [torch.cdist(vector[None], items).argmin().item() for vector in sampled.item_vectors.detach()]
    assert chosen == [0, 1, 2, 4, 5]
    wanted = {(0,): 1, (0, 1): 2, (4,): 5, (4, 5): 0, (2,): 4, (2, 2): 5}
    histories = model.history_vectors([np.array(history) for history in wanted])
    found = torch.cdist(sampled.history_vectors.detach(), histories).argmin(dim=1)
    targets = [list(wanted.values())[row] for row in found]
    assert sorted(found.tolist()) == [0, 1, 2, 3, 4, 5]
    assert [chosen[row] for row in sampled.targets] == targets


def test_the_seed_of_torch_alone_decides_what_training_sees():
    config = {**BERT, "hidden_dropout_prob": 0.5}
    first, again, other = (sample(make(body_config=config), seed) for seed in (1, 1, 2))
    assert torch.equal(first.history_vectors, again.history_vectors)
    assert torch.equal(first.item_vectors, again.item_vectors)
    assert not torch.equal(first.history_vectors, other.history_vectors)


@pytest.mark.parametrize(("hard_negatives", "most"), [(0, 3), (1, 6)])
def test_hard_negatives_stand_beside_the_targets(hard_negatives, most):
    model = make(hard_negatives=hard_negatives)
    assert max(len(sample(model, seed).item_vectors) for seed in range(9)) in range(most - 1, most + 1)


def test_how_likely_a_candidate_was_is_taken_off_its_logit():
    """As popular as it is, item 1 is the candidate that loses most."""
    counts = np.array([1, 1000, 1, 1, 1, 1])
    plain, corrected = (sample(make(counts=given, positions=3)) for given in (None, counts))
    differences = corrected.history_vectors @ corrected.item_vectors.T - plain.history_vectors @ plain.item_vectors.T
    torch.testing.assert_close(differences[0], differences[-1], rtol=1e-3, atol=1e-4)
    assert (differences > 0).all()
    assert differences[0].argmin() == 1


def test_a_batch_without_any_text_trains_nothing_and_breaks_nothing():
    batch = Batch(np.array([[3, 3]]), np.array([2]), np.array([[3, 3]]))
    sampled = make(learn_temperature=False).train()(batch)
    assert sampled.history_vectors.shape == (0, WIDTH)
    (sampled.history_vectors.sum() + sampled.item_vectors.sum()).backward()


@pytest.mark.parametrize("learn", [True, False])
def test_the_temperature_is_learnt_or_fixed(learn):
    model = make(learn_temperature=learn)
    sample(model).history_vectors.sum().backward()
    assert (model.log_scale.grad is not None) == learn
    assert model.log_scale not in set(model.pretrained_parameters())
    assert len(model.pretrained_parameters()) == len(list(model.parameters())) - 1


def test_products_in_bfloat16_differ_a_little_and_only_outside_of_training(model):
    rough, batch = make(precision="bfloat16"), Batch.of([[1, 2]])
    difference = np.abs(rough.scores(batch) - model.scores(batch)).max()
    assert 0 < difference < 1
    assert torch.equal(sample(rough).item_vectors, sample(model).item_vectors)


def test_the_precision_that_was_asked_for_holds_inside_of_another(model):
    wanted = model.history_vectors([np.array([1, 2])])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.history_vectors([np.array([1, 2])]), wanted)


def test_training_works_in_bfloat16_too(model):
    with torch.autocast("cpu", torch.bfloat16):
        rough = sample(model)
    assert 0 < (rough.item_vectors - sample(model).item_vectors).abs().max() < 0.2


def test_scoring_leaves_the_mode_as_it_was_even_when_it_fails(model):
    model.train()
    model.scores(Batch.of([[1]]))
    assert model.training
    with pytest.raises(DataError, match=r"item 6 is outside the catalogue of 6 items \(rows 0 to 5\)"):
        model.scores(Batch.of([[6]]))
    assert model.training


def test_dropout_is_for_training_alone():
    model = make(body_config={**BERT, "hidden_dropout_prob": 0.5}).train()
    assert torch.equal(model.item_vectors(), model.item_vectors())
    assert not torch.equal(model(TRAINING).history_vectors, model(TRAINING).history_vectors)


@pytest.mark.parametrize("item", [-1, N_ITEMS])
def test_an_item_of_another_catalogue_is_refused(model, item):
    with pytest.raises(DataError, match=rf"item {item} is outside the catalogue of 6 items"):
        model(Batch.of([[1, item]]))


def test_training_without_targets_or_without_a_sampler_is_refused():
    with pytest.raises(TrainingError, match=r"needs a batch with targets \(Windows.batch makes one\)"):
        make().train()(Batch.of([[1, 2]]))
    with pytest.raises(TrainingError, match=r"a sampler \(build_text_language_model makes one"):
        make(sampled=False).train()(TRAINING)


def test_state_brings_the_same_model_back(model):
    settings = json.loads(model.settings.model_dump_json())
    again, batch = rebuild(model.kind, settings, model.state()), Batch.of([[1, 2], [4]])
    np.testing.assert_array_equal(again.scores(batch), model.scores(batch))
    assert again.settings == model.settings
    assert again.n_parameters == model.n_parameters
    kinds = {name: array.dtype for name, array in model.state().items()}
    assert {kinds.pop("item_tokens"), kinds.pop("item_offsets")} == {np.dtype(np.int32)}
    assert set(kinds.values()) == {np.dtype(np.float32)}


def test_the_parameters_can_be_counted_by_hand(model):
    """Words 16x8, places 16x8, two kinds of sentence, norms of 16, two blocks of 4x72 + 144 + 136, and the scale."""
    assert model.n_parameters == 128 + 128 + 16 + 16 + 2 * (4 * 72 + 144 + 136 + 32) + 1


def test_folding_is_nothing_without_lora(model):
    assert model.train().fold() is model
    assert not model.training


def test_folding_merges_lora_and_changes_no_score():
    pytest.importorskip("peft", reason="peft is not installed")
    model, batch = make(tune="lora"), Batch.of([[1, 2], [4]])
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (".lora_" in name or name == "log_scale")
        if ".lora_B" in name:
            nn.init.normal_(parameter, std=0.5)
    assert np.abs(model.scores(batch) - make().scores(batch)).max() > 0.1
    folded = model.fold()
    np.testing.assert_allclose(folded.scores(batch), model.scores(batch), atol=1e-3)
    assert folded.n_parameters == make().n_parameters
    assert not any("lora" in name for name in model.state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("item_tokens"), "the weights lack item_tokens or item_offsets, the items' texts"),
        (
            lambda state: state.update(item_tokens=np.zeros((2, 2), int)),
            r"item_tokens \(2, 2\) and item_offsets \(7,\)",
        ),
        (lambda state: state.update(item_offsets=np.array([0, 9])), r"and item_offsets \(2,\) do not fit each other"),
        (lambda state: state.update(item_offsets=np.array([0, 4, 2, 10])), "item_offsets fall, or item_tokens are not"),
        (lambda state: state.update(item_tokens=np.full(10, 16)), "not all among the 16 that the model knows"),
        (lambda state: state.pop("log_scale"), r"log_scale: expected \(\), got None"),
        (lambda state: state.update(log_scale=np.zeros(2)), r"do not fit the settings: log_scale: expected \(\), got"),
        (lambda state: state.update(log_scale=np.array(np.nan)), "the weights hold NaN or infinity in log_scale"),
    ],
)
def test_state_that_is_not_its_own_is_refused(model, change, message):
    state = model.state()
    change(state)
    with pytest.raises(ArtifactError, match=message):
        TextLanguageModel.from_state(SHAPE, state)


def test_a_language_model_of_another_kind_is_refused(model):
    with pytest.raises(ArtifactError, match="'vit'"):
        TextLanguageModel.from_state(SHAPE.with_changes(body_config={**BERT, "model_type": "vit"}), model.state())
