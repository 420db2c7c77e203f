"""Teachers over text from tiny folders of every family: what is made of the folder, that they learn, and are saved."""

import shutil

import numpy as np
import polars as pl
import pytest
import torch

from distilrec.config import parse
from distilrec.data.batches import Windows
from distilrec.distil.loop import train
from distilrec.distil.settings import TrainSettings
from distilrec.errors import DataError, SettingsError, SourceError
from distilrec.models.text_language_model import TextReading
from distilrec.recommender import Recommender
from distilrec.teach.text_language_model import TextTeacherSettings, build_text_language_model
from distilrec.types import Batch, Ragged
from tiny_bodies import KINDS, save_tiny_body, shared_body

pytest.importorskip("transformers", reason="transformers is not installed")

TEXTS = ["red shoe", "a", "b", "blue hat", "c", "d"]
WALKS = Ragged.of([[(start + step) % len(TEXTS) for step in range(4)] for start in range(len(TEXTS))])
MAX_TOKENS = 20
HISTORIES = Batch.of([[1, 2, 3], [4], [5, 0]])


@pytest.fixture
def folder_of(tmp_path_factory):
    """The folder of a kind's tiny model, not to be changed."""
    return lambda kind: shared_body(kind, tmp_path_factory.getbasetemp())


@pytest.fixture
def bert(folder_of, tmp_path):
    """A copy to change."""
    return shutil.copytree(folder_of("bert"), tmp_path / "bert")


@pytest.fixture
def build(folder_of):
    """A teacher of a kind, with settings."""

    def build_kind(kind="bert", *, texts=TEXTS, counts=None, seed=0, **settings):
        chosen = {"body": str(folder_of(kind)), "max_tokens": MAX_TOKENS, "precision": "float32", **settings}
        torch.manual_seed(seed)
        return build_text_language_model(parse(TextTeacherSettings, chosen), texts, counts=counts)

    return build_kind


def fit(model, *, epochs=4, scores=range(99), **options):
    """Train on walks round a circle of items, and tell the loss of each epoch."""
    settings = TrainSettings(epochs=epochs, batch_size=3, learning_rate=0.01, precision="float32")
    rising = iter(scores)  # so that the last weights are kept
    windows = Windows.cut(WALKS, max_length=4)
    report = train(model, windows, validate=lambda _: next(rising), settings=settings, quiet=True, **options)
    return [epoch["loss"] for epoch in report.epochs]


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_learns_and_is_saved_without_its_folder(build, kind, tmp_path):
    model = build(kind, positions=3)
    losses = fit(model)
    assert losses[-1] < losses[0]
    items = pl.DataFrame({"item_id": range(len(TEXTS)), "train_count": [4] * len(TEXTS)})
    Recommender(model, items).save_pretrained(tmp_path / "teacher")
    assert str(tmp_path.parent) not in (tmp_path / "teacher" / "config.json").read_text()
    again = Recommender.from_pretrained(tmp_path / "teacher").model
    np.testing.assert_array_equal(again.scores(HISTORIES), model.scores(HISTORIES))


@pytest.mark.parametrize("fine_tune", ["all", "last", "lora", "none"])
def test_only_the_part_that_is_to_learn_changes(build, fine_tune):
    if fine_tune == "lora":
        pytest.importorskip("peft", reason="peft is not installed")
    model = build(fine_tune=fine_tune, last_blocks=1)
    before = model.state()
    fit(model, epochs=1)
    changed = {name for name, array in model.state().items() if not np.array_equal(array, before[name])}
    assert ("body.model.embeddings.word_embeddings.weight" in changed) == (fine_tune == "all")
    assert ("body.model.encoder.layer.0.attention.self.query.weight" in changed) == (fine_tune in ("all", "lora"))
    assert ("body.model.encoder.layer.1.output.dense.weight" in changed) == (fine_tune in ("all", "last"))
    assert "log_scale" in changed


def test_an_interrupted_training_goes_on_to_the_same_weights(build, tmp_path):
    whole = build(dropout=0.2)
    fit(whole)
    with pytest.raises(StopIteration):
        fit(build(dropout=0.2), scores=range(2), checkpoint_path=tmp_path / "checkpoint.safetensors")
    resumed = build(dropout=0.2)
    assert len(fit(resumed, scores=range(2, 4), checkpoint_path=tmp_path / "checkpoint.safetensors")) == 4
    for name, array in whole.state().items():
        np.testing.assert_array_equal(resumed.state()[name], array, err_msg=name)


def test_pretrained_vectors_are_those_of_the_model_itself(build, bert):
    """Nothing is lost on the way: transformers' own model gives the same mean of its hidden states."""
    from transformers import AutoModel, AutoTokenizer

    own = AutoModel.from_pretrained(bert, attn_implementation="eager").eval()
    tokens = AutoTokenizer.from_pretrained(bert)("red shoe", return_tensors="pt")
    with torch.no_grad():
        wanted = torch.nn.functional.normalize(own(**tokens).last_hidden_state.mean(dim=1))
    torch.testing.assert_close(build().item_vectors()[:1], wanted, rtol=1e-4, atol=1e-5)


def test_random_weights_have_the_shape_alone(build):
    pretrained, random, other = build(), build(start="random"), build(start="random", seed=1)
    assert pretrained.settings == random.settings
    name = "body.model.encoder.layer.0.attention.self.query.weight"
    assert not np.array_equal(pretrained.state()[name], random.state()[name])
    assert not np.array_equal(other.state()[name], random.state()[name])


def test_the_special_tokens_of_each_family_stand_where_they_belong(build):
    bert, gpt2, t5 = build("bert"), build("gpt2"), build("t5")
    cls, sep, eos = 2, 3, 0
    assert bert.read_of_item(1).tolist() == [cls, 10, sep]
    assert gpt2.read_of_item(1).tolist() == [2, eos]  # it puts no end itself, and one is needed to pool there
    assert t5.read_of_item(1).tolist() == [3, 9, 1]
    assert bert.read_of_history(np.array([1, 2])).tolist() == [cls, 11, 48, 10, sep]


def test_decoders_pool_at_their_last_word_and_encoders_take_the_mean(build):
    pooled = {kind: build(kind, hard_negatives=0).settings.pooling for kind in KINDS}
    assert pooled == {kind: "lasttoken" if kind in ("gpt2", "llama", "qwen2") else "mean" for kind in KINDS}
    assert build("gpt2", pooling="mean").settings.pooling == "mean"
    assert build("gpt2", pooling="mean").settings.end == ()
    assert build("bert", pooling="max").settings.pooling == "max"


def test_a_sentence_transformers_folder_says_how_to_pool(build, bert):
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    modules = '[{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}]'
    (bert / "modules.json").write_text(modules)
    assert build(body=str(bert)).settings.pooling == "cls"


def test_prompts_and_the_separator_are_read(build):
    model = build(history_prompt="h", item_prompt="i", separator=".")
    assert model.read_of_item(1).tolist() == [2, 18, 10, 3]
    assert model.read_of_history(np.array([1, 2])).tolist() == [2, 17, 11, 46, 10, 3]


def test_how_much_is_read_is_handed_on(build):
    given = {"item_tokens": 1, "max_length": 2, "positions": 2, "temperature": 0.1, "token_budget": 9}
    model = build(**given, hard_negatives=2, learn_temperature=False)
    handed_on = model.settings.model_dump(include=set(TextReading.model_fields))
    assert handed_on == {
        **given,
        "hard_negatives": 2,
        "learn_temperature": False,
        "max_tokens": MAX_TOKENS,
        "precision": "float32",
    }
    assert model.read_of_item(0).tolist() == [2, 5, 3]
    assert (model.sampler.positions, model.sampler.hard_negatives) == (2, 2)


def test_hard_negatives_come_from_the_nearest_items_before_training(build):
    model = build(neighbours=2)
    items = model.item_vectors()
    similar = (items @ items.T).fill_diagonal_(-1)
    assert model.sampler.neighbours.tolist() == similar.topk(2).indices.tolist()
    assert build(hard_negatives=0).sampler.neighbours.shape == (len(TEXTS), 0)
    assert build(counts=np.arange(6)).sampler.shares.argmax() in (4, 5)


def test_items_without_text_are_counted_and_score_zero(build):
    with pytest.warns(UserWarning, match="2 of 4 items have no text: their vectors are zero, and they score 0"):
        model = build(texts=["a", "", "b", " "])
    np.testing.assert_array_equal(model.scores(Batch.of([[0], [1]]))[:, [1, 3]], np.zeros((2, 2)))


def test_a_catalogue_without_any_text_is_refused(build):
    with pytest.raises(DataError, match="none of the 2 items has a text; a text language model has nothing to read"):
        build(texts=["", " "])


@pytest.mark.parametrize("kind", ["bert", "gpt2"])  # by its tokenizer, by its configuration
def test_more_tokens_than_the_model_reads_are_refused(build, kind):
    with pytest.raises(SettingsError, match=r"max_tokens is 25; .*bodies.* reads at most 24 tokens"):
        build(kind, max_tokens=25)
    build("t5", max_tokens=500)  # it counts distances, not places


@pytest.mark.parametrize("name", ["history", "item"])
def test_a_prompt_that_leaves_no_room_is_refused(build, name):
    with pytest.raises(SettingsError, match=f"max_tokens is 5, and {name}_prompt with special tokens takes 5; nothing"):
        build(max_tokens=5, **{f"{name}_prompt": "red red red"})


def test_counts_of_another_catalogue_are_refused(build):
    with pytest.raises(SettingsError, match="counts are of 5 items; expected one for each of the 6 texts"):
        build(counts=np.ones(5))


def test_a_folder_without_a_model_is_refused(build, tmp_path):
    with pytest.raises(SourceError, match=r"holds no model: expected config.json, model.safetensors and a tokenizer"):
        build(body=str(tmp_path))


def test_a_model_of_another_kind_is_refused(build, bert):
    (bert / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(SourceError, match="holds a model of type 'vit'; expected a language model of one of the types"):
        build(body=str(bert))


def test_a_folder_without_a_tokenizer_is_refused(build, bert):
    for file in bert.glob("*token*"):
        file.unlink()
    with pytest.raises(SourceError, match=r"bert holds no tokenizer: expected .*tokenizer.json"):
        build(body=str(bert))


def test_a_tokenizer_that_cannot_be_read_is_refused(build, bert):
    (bert / "tokenizer.json").write_text("{}")
    with pytest.raises(SourceError, match=r"the tokenizer in .*bert cannot be loaded: "):
        build(body=str(bert))


def test_a_tokenizer_of_another_model_is_refused(build, tmp_path):
    folder = save_tiny_body("bert", tmp_path / "bert", vocab_size=10)
    with pytest.raises(
        SourceError, match=r"gives token 48, and the model knows tokens 0 to 9; expected the tokenizer of"
    ):
        build(body=str(folder))
