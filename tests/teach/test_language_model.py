"""Language models of every family, from tiny folders: they learn, each in the part that is to learn, and are saved."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from distilrec.config import parse
from distilrec.data.batches import Windows
from distilrec.distil import checkpoint
from distilrec.distil.loop import train
from distilrec.distil.settings import TrainSettings
from distilrec.errors import SettingsError, SourceError
from distilrec.recommender import Recommender
from distilrec.teach.language_model import ItemLanguageModelSettings, build_item_language_model
from distilrec.types import Batch, Ragged
from tiny_bodies import KINDS, MAX_POSITIONS, shared_body

pytest.importorskip("transformers", reason="transformers is not installed")

N_ITEMS, STEPS = 12, 4
WALKS = Ragged.of([[(start + step) % N_ITEMS for step in range(STEPS)] for start in range(N_ITEMS)])
CONTENT = np.random.default_rng(0).normal(size=(N_ITEMS, 6)).astype(np.float32)
HISTORIES = Batch.of([[1, 2, 3], [4], [5, 6]])


@pytest.fixture
def build(tmp_path_factory):
    """A teacher of a kind, with settings."""

    def build_kind(kind="bert", *, seed=0, **settings):
        folder = shared_body(kind, tmp_path_factory.getbasetemp())
        chosen = {"body": str(folder), "width": 8, "max_length": STEPS, "precision": "float32", **settings}
        torch.manual_seed(seed)
        return build_item_language_model(ItemLanguageModelSettings(**chosen), CONTENT)

    return build_kind


def fit(model, *, epochs=3):
    """Train on walks round a circle of items, and tell the loss of each epoch."""
    settings = TrainSettings(epochs=epochs, batch_size=4, learning_rate=0.01, precision="float32")
    scores = iter(range(epochs))  # always better, so that the last weights are kept
    windows = Windows.cut(WALKS, max_length=STEPS)
    report = train(model, windows, validate=lambda _: next(scores), settings=settings, quiet=True)
    return [epoch["loss"] for epoch in report.epochs]


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def changed(before, after):
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize("fine_tune", ["all", "lora"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_makes_the_loss_fall(build, kind, fine_tune):
    losses = fit(build(kind, fine_tune=fine_tune))
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_it_learns_what_comes_next(build, kind):
    model = build(kind, dropout=0.0, embedding_dropout=0.0)
    fit(model, epochs=25)
    best = model.scores(Batch.of([[item] for item in range(N_ITEMS)])).argmax(axis=1)
    assert (best == (np.arange(N_ITEMS) + 1) % N_ITEMS).mean() >= 11 / 12


OURS = {
    *("table.project.weight", "table.free.weight", "project_in.weight", "project_in.bias"),
    *("project_out.weight", "project_out.bias", "norm.weight", "norm.bias"),
}


@pytest.mark.parametrize(
    ("fine_tune", "learns"),
    [
        ("none", lambda name: False),
        ("lora", lambda name: "lora_" in name),
        ("last", lambda name: name.startswith("body.model.encoder.layer.1.")),
        ("all", lambda name: True),
    ],
)
def test_training_changes_our_own_weights_and_of_the_body_what_was_chosen(build, fine_tune, learns):
    model = build(fine_tune=fine_tune, last_blocks=1)
    before = weights(model)
    fit(model, epochs=1)
    found = changed(before, weights(model))
    assert {name for name in found if not name.startswith("body.")} == OURS
    body = {name for name in before if name.startswith("body.") and learns(name)}
    # Softmax does not see what is added to all keys alike, so their biases may stand still.
    assert {name for name in found if name.startswith("body.")} | {n for n in body if "key.bias" in n} == body


def test_a_checkpoint_of_lora_leaves_the_frozen_weights_out(build):
    kept = checkpoint.learnt(build(fine_tune="lora"))
    assert {name for name in kept if "lora_" not in name} == OURS


@pytest.mark.parametrize("kind", ["bert", "gpt2", "qwen2", "t5"])
def test_a_saved_teacher_scores_as_before_without_the_folder_it_came_from(build, kind, tmp_path):
    folder = shutil.copytree(build(kind).settings.body, tmp_path / "body")
    model = build(kind, body=str(folder), fine_tune="lora")
    fit(model, epochs=1)
    shutil.rmtree(folder)
    items = pl.DataFrame({"item_id": np.arange(N_ITEMS), "train_count": np.ones(N_ITEMS, np.int64)})
    Recommender(model.fold(), items).save_pretrained(tmp_path / "artefact")
    again = Recommender.from_pretrained(tmp_path / "artefact").model
    np.testing.assert_allclose(again.scores(HISTORIES), model.scores(HISTORIES), rtol=1e-4, atol=1e-4)
    assert again.settings == model.settings


def test_what_is_taken_out_of_a_teacher_multiplies_to_its_scores(build):
    model = build("gpt2").eval()
    with torch.no_grad():
        histories, items = model(Batch.of([[1, 2, 3]]))
    wanted = model.scores(Batch.of([[1], [1, 2], [1, 2, 3]]))
    np.testing.assert_allclose((histories @ items.T).numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_a_random_start_follows_the_seed_and_is_another_model_than_a_pretrained_one(build):
    def scores(seed, start):
        return build(seed=seed, start=start).scores(HISTORIES)

    np.testing.assert_array_equal(scores(1, "random"), scores(1, "random"))
    assert np.abs(scores(1, "random") - scores(2, "random")).max() > 1e-3
    assert np.abs(scores(1, "random") - scores(1, "pretrained")).max() > 1e-3


def test_the_table_is_made_of_content_and_where_wanted_of_a_free_part(build):
    with_free, without = build().state_dict(), build(free=False).state_dict()
    assert with_free.keys() - without.keys() == {"table.free.weight"}
    assert with_free["table.project.weight"].shape == (8, 6)


def test_the_bodys_configuration_comes_from_its_folder_alone(build):
    assert build().settings.body_config["model_type"] == "bert"
    with pytest.raises(SettingsError, match="body_config is filled in from the folder that body names; leave it out"):
        build(body_config={"model_type": "bert"})


def test_histories_longer_than_the_body_reads_are_refused(build):
    with pytest.raises(SettingsError, match="max_length is 25, but the body reads at most 24 positions"):
        build(max_length=MAX_POSITIONS + 1)
    assert build("t5", max_length=MAX_POSITIONS + 1).max_length == 25


def test_a_folder_without_a_model_is_refused(build, tmp_path):
    with pytest.raises(SourceError, match="holds no model"):
        build(body=str(tmp_path))


def test_the_recipe_for_large_teachers_has_settings_that_exist():
    text = Path(__file__).parents[2].joinpath("docs", "large_teachers.md").read_text(encoding="utf-8")
    recipe = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])["teacher"]
    model = parse(ItemLanguageModelSettings, recipe["model"])
    assert (model.fine_tune, model.frozen_dtype, model.width) == ("lora", "bfloat16", 128)
    assert parse(TrainSettings, recipe["train"]).body_learning_rate == 0.0002
    assert recipe["kind"] == "item_language_model"
