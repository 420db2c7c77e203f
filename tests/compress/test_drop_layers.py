"""Teachers without some of their blocks, and quantised ones, are still teachers: knowledge is taken out as ever."""

import numpy as np
import polars as pl
import pytest
import torch

from distilrec.compress.drop_layers import DropLayers
from distilrec.compress.methods import compress
from distilrec.compress.quantise import PRESETS, Quantise
from distilrec.data.batches import Windows
from distilrec.errors import SettingsError
from distilrec.models.body import BodySettings, load_body
from distilrec.models.item_language_model import ItemLanguageModel, ItemLanguageModelSettings
from distilrec.models.popularity import Popularity
from distilrec.models.text_language_model import TextLanguageModel, TextLanguageModelSettings
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.recommender import Recommender
from distilrec.teach.extract import extract
from distilrec.teach.settings import KnowledgeSettings
from distilrec.teach.teacher import as_teacher
from distilrec.types import Batch, Ragged
from tiny_bodies import KINDS, shared_body

N_ITEMS = 10
ITEMS = pl.DataFrame({"item_id": range(N_ITEMS), "train_count": [1] * N_ITEMS})
WALKS = Ragged.of([[row % N_ITEMS, (row + 1) % N_ITEMS, (row + 2) % N_ITEMS] for row in range(12)])
BATCH = Batch.of([[1, 2], [5]])


def over_items(folder):
    settings = ItemLanguageModelSettings(body=str(folder), width=8, max_length=4, precision="float32")
    body = load_body(BodySettings(body=str(folder)))
    return ItemLanguageModel(settings, N_ITEMS, body=body).eval()


def over_text(folder):
    body = load_body(BodySettings(body=str(folder)), words=True)
    settings = TextLanguageModelSettings(body_config=body.config, pooling="mean", precision="float32")
    return TextLanguageModel(settings, Ragged.of([[5, 6 + item] for item in range(N_ITEMS)]), body=body).eval()


def taken_out(model, folder):
    windows = Windows.cut(WALKS, max_length=4)
    return extract(
        as_teacher(model),
        folder,
        make_batch=windows.batch,
        positions=windows.positions,
        windows_digest=windows.digest(),
        n_items=N_ITEMS,
        settings=KnowledgeSettings(soft_labels="whole"),
        quiet=True,
    )


@pytest.fixture
def body(tmp_path_factory):
    return lambda kind: shared_body(kind, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_of_every_family_loses_a_block_and_the_first_model_keeps_it(body, kind):
    torch.manual_seed(0)
    first = Recommender(over_items(body(kind)), ITEMS)
    thin = compress(first, [DropLayers(keep=1)])
    assert (len(first.model.body.blocks), len(thin.model.body.blocks)) == (2, 1)
    assert np.isfinite(thin.scores(BATCH)).all()
    assert thin.about["compressed"] == [{"kind": "drop_layers", "keep": 1, "kept": [0]}]


@pytest.mark.parametrize("make", [over_items, over_text])
def test_knowledge_is_taken_from_a_shallower_half_precision_teacher_that_was_saved(body, make, tmp_path):
    torch.manual_seed(0)
    teacher = compress(Recommender(make(body("bert")), ITEMS), [DropLayers(keep=1), PRESETS["half"]])
    teacher.save_pretrained(tmp_path / "teacher")
    loaded = Recommender.from_pretrained(tmp_path / "teacher")
    knowledge = taken_out(loaded.model, tmp_path / "knowledge")
    (part,) = knowledge.soft_labels(Windows.cut(WALKS, max_length=4).batch(np.arange(3)))
    assert part.history_vectors.shape[0] == 6
    np.testing.assert_array_equal(loaded.scores(BATCH), teacher.scores(BATCH))


def test_an_int8_transformer_teaches_nearly_what_it_did(tmp_path):
    torch.manual_seed(0)
    first = Recommender(Transformer(TransformerSettings(width=16, blocks=4, max_length=4), N_ITEMS).eval(), ITEMS)
    small = compress(first, [Quantise()])
    batch = Windows.cut(WALKS, max_length=4).batch(np.arange(3))
    ((before,), (after,)) = (
        taken_out(r.model, tmp_path / n).soft_labels(batch) for n, r in (("a", first), ("b", small))
    )
    np.testing.assert_allclose(after.history_vectors, before.history_vectors, atol=0.05)


def test_evenly_spaced_blocks_stay():
    model = Transformer(
        TransformerSettings(width=8, blocks=5, feedforward_widths=(1, 2, 3, 4, 5), max_length=4), N_ITEMS
    )
    thin = compress(Recommender(model.eval(), ITEMS), [DropLayers(keep=3)])
    assert thin.model.settings.feedforward_widths == (1, 3, 5)
    state = thin.model.state()
    np.testing.assert_array_equal(
        state["blocks.1.attention_out.weight"], model.state()["blocks.2.attention_out.weight"]
    )


def test_what_has_no_blocks_or_not_enough_is_refused():
    with pytest.raises(SettingsError, match="drop_layers: a model of kind popularity has no stack of blocks"):
        compress(Recommender(Popularity.fit(WALKS, n_items=N_ITEMS), ITEMS), [DropLayers()])
    model = Transformer(TransformerSettings(width=8, max_length=4), N_ITEMS)
    with pytest.raises(SettingsError, match="drop_layers: keep is 1, and the transformer has 1 blocks; keep fewer"):
        compress(Recommender(model, ITEMS), [DropLayers()])
