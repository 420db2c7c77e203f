"""Quantised models score nearly as before, in a fraction of the bytes, wherever their folder lies."""

import shutil

import numpy as np
import polars as pl
import pytest
import torch

from distilrec.artifact import artifact_size_bytes, read_artifact, write_artifact
from distilrec.compress.quantise import PRESETS, Quantise, forms_for, quantise
from distilrec.config import parse
from distilrec.errors import ArtifactError, SettingsError
from distilrec.files import read_json
from distilrec.models.cnn import CNN, CNNSettings
from distilrec.models.ease import EASE, EASESettings
from distilrec.models.ensemble import Ensemble
from distilrec.models.item_knn import ItemKNN
from distilrec.models.popularity import Popularity
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.recommender import Recommender
from distilrec.storage import Float16, Int4, Int8, Integers, LowRank, Packed
from distilrec.storage.names import is_item_table, part_of
from distilrec.types import Batch, Ragged

N_ITEMS = 40
ITEMS = pl.DataFrame({"item_id": list(range(N_ITEMS)), "train_count": [1] * N_ITEMS})
WALKS = Ragged.of([[start % N_ITEMS, (start + 1) % N_ITEMS, (start + 3) % N_ITEMS] for start in range(70)])
BATCH = Batch.of([[1, 2], [5], [9, 10, 11]])


def transformer():
    torch.manual_seed(0)
    return Transformer(TransformerSettings(width=16, heads=2, max_length=5), N_ITEMS).eval()


def cnn():
    torch.manual_seed(0)
    return CNN(CNNSettings(width=16, max_length=5), N_ITEMS).eval()


def ensemble():
    members = [transformer(), EASE.fit(WALKS, n_items=N_ITEMS, settings=EASESettings(l2=1))]
    return Ensemble.of(members, weights=(0.5, 0.5), temperatures=(1, 1))


MODELS = {
    "transformer": transformer,
    "cnn": cnn,
    "ensemble": ensemble,
    "item_knn": lambda: ItemKNN.fit(WALKS, n_items=N_ITEMS),
    "popularity": lambda: Popularity.fit(WALKS, n_items=N_ITEMS),
}


@pytest.fixture
def recommender():
    return Recommender(transformer(), ITEMS, about={"data": "walks"})


def weights_bytes(recommender):
    packed = recommender.packed or Packed.of(recommender.model.state())
    return packed.nbytes()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_quantised_model_of_any_kind_is_smaller_scores_nearly_as_before_and_the_first_is_as_it_was(kind, preset):
    first = Recommender(MODELS[kind](), ITEMS)
    before, scores = first.model.state(), first.scores(BATCH)
    small = quantise(first, preset)
    assert weights_bytes(small) < 0.75 * weights_bytes(first)
    off = np.abs(small.scores(BATCH) - scores).max() / np.ptp(scores)
    assert off < {"half": 0.002, "int8": 0.03, "int4": 0.3}[preset]
    assert first.packed is None
    for name, array in first.model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("preset", PRESETS)
def test_it_scores_the_same_after_it_was_saved_moved_loaded_and_saved_again(recommender, preset, tmp_path):
    small = quantise(recommender, preset)
    small.save_pretrained(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = Recommender.from_pretrained(tmp_path / "there")
    np.testing.assert_array_equal(moved.scores(BATCH), small.scores(BATCH))
    moved.save_pretrained(tmp_path / "again")
    again, there = read_artifact(tmp_path / "again"), read_artifact(tmp_path / "there")
    assert again.stored == there.stored
    assert again.config == there.config
    assert artifact_size_bytes(tmp_path / "again") == artifact_size_bytes(tmp_path / "there")
    assert {name: array.dtype for name, array in again.tensors.items()} == {
        name: array.dtype for name, array in small.packed.arrays.items()
    }


def test_only_compressed_artefacts_have_the_new_version(recommender, tmp_path):
    for name, saved in (("plain", recommender), ("small", quantise(recommender))):
        saved.save_pretrained(tmp_path / name)
    assert read_json(tmp_path / "plain" / "config.json")["format_version"] == 1
    assert "stored" not in read_json(tmp_path / "plain" / "config.json")
    config = read_json(tmp_path / "small" / "config.json")
    assert config["format_version"] == 2
    assert config["stored"]["table.weight"] == {"form": "int8", "scales": "float16"}


def test_what_was_done_is_told_in_order(recommender):
    layers = quantise(recommender, Quantise(table=None, vectors=None))
    both = quantise(layers, Quantise(table="int4", matrices=None, vectors=None))
    assert [(done["kind"], done["table"], done["matrices"]) for done in both.about["compressed"]] == [
        ("quantise", None, {"form": "int8", "scales": "float16"}),
        ("quantise", {"form": "int4", "group": None, "scales": "float16"}, None),
    ]
    assert both.about["data"] == "walks"
    assert recommender.about == {"data": "walks"}


def test_each_group_gets_its_form():
    forms = forms_for(Packed.of(ensemble().state()), Quantise(table=Int4(), matrices=Int8(), vectors=Float16()))
    assert forms["0.table.weight"] == forms["1.weights"] == Int4()
    assert forms["0.blocks.0.attention_out.weight"] == Int8()
    assert forms["0.blocks.0.attention_out.bias"] == Float16()
    knn = forms_for(Packed.of(ItemKNN.fit(WALKS, n_items=N_ITEMS).state()), Quantise())
    assert knn == {"neighbours": Integers(), "offsets": Integers(), "similarities": Float16()}


def test_kernels_of_three_dimensions_are_int8_where_the_form_of_matrices_cannot_hold_them():
    packed = Packed.of({"kernel": np.ones((2, 3, 4), dtype=np.float32)})
    assert forms_for(packed, Quantise(matrices=Int4())) == {"kernel": Int8()}


def test_a_group_without_a_form_is_left_as_it_is(recommender):
    small = quantise(recommender, Quantise(table=None))
    np.testing.assert_array_equal(small.packed.arrays["table.weight"], recommender.model.state()["table.weight"])


def test_the_factors_of_a_low_rank_table_are_quantised(recommender):
    packed = Packed.of(recommender.model.state(), {"table.weight": LowRank(rank=4)})
    thin = Recommender(
        Transformer.from_state(recommender.model.settings, packed.state()), ITEMS, about={}, packed=packed
    )
    assert quantise(thin, "int8").packed.forms["table.weight"] == LowRank(rank=4, left=Int8(), right=Int8())


def test_quantising_twice_is_refused(recommender):
    with pytest.raises(SettingsError, match=r"is stored as \w+ already; .* Start from the model that was not compres"):
        quantise(quantise(recommender), "int4")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("int2", "there is no preset 'int2' of quantise; presets: half, int8, int4"),
        (Quantise(table="codebooks"), r"table\.weight"),
        (Quantise(table={"form": "codebooks", "codes": 5}), r"table\.weight: codebooks cannot cut 16 columns into 5"),
    ],
    ids=["preset", "default codes fit", "codes"],
)
def test_settings_that_do_not_fit_are_refused(recommender, settings, told):
    if settings == Quantise(table="codebooks"):  # sixteen codes for sixteen columns
        assert quantise(recommender, settings).packed.forms["table.weight"].form == "codebooks"
        return
    with pytest.raises(SettingsError, match=told):
        quantise(recommender, settings)


def test_nothing_to_do_is_refused():
    with pytest.raises(SettingsError, match="quantise has nothing to do; give a form to table, matrices or vectors"):
        parse(Quantise, {"table": None, "matrices": None, "vectors": None})
    smallest = quantise(Recommender(MODELS["popularity"](), ITEMS))
    with pytest.raises(SettingsError, match="a model of kind popularity has no table or matrices or vectors to quant"):
        quantise(smallest)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"table": {"form": "int8", "scale": 1}}, "table: unknown setting 'table.scale'|unknown setting 'table.scale'"),
        ({"table": "int5"}, "table: "),
        ({"vectors": "int8"}, "vectors: "),
    ],
)
def test_wrong_settings_are_named(values, told):
    with pytest.raises(SettingsError, match=told):
        parse(Quantise, values)


def test_a_misspelt_setting_of_a_form_is_told_the_right_one():
    with pytest.raises(SettingsError, match=r"unknown setting 'table\.scale'; did you mean 'scales'"):
        parse(Quantise, {"table": {"form": "int8", "scale": 1}})


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_damaged_table_is_refused_by_name(wrong):
    model = transformer()
    with torch.no_grad():
        model.table.weight[3, 1] = wrong
    with pytest.raises(SettingsError, match=r"table\.weight: the array holds NaN, infinity or numbers beyond"):
        quantise(Recommender(model, ITEMS))


def test_a_loaded_model_that_was_trained_further_is_not_saved_as_what_it_was(recommender, tmp_path):
    small = quantise(recommender)
    with torch.no_grad():
        small.model.table.weight += 1
    with pytest.raises(ArtifactError, match=r"no longer the one that is stored compressed \(table\.weight\); save it"):
        small.save_pretrained(tmp_path / "model")


def test_an_artefact_whose_parts_lack_their_form_is_refused(recommender, tmp_path):
    small = quantise(recommender)
    stored = {name: form for name, form in small.packed.described().items() if name != "table.weight"}
    arrays = dict(small.packed.arrays)
    write_artifact(tmp_path / "m", config=small.config(), tensors=arrays, items=ITEMS, card="", stored=stored)
    with pytest.raises(ArtifactError, match=r"the weights hold table\.weight/\w+, which has no form"):
        Recommender.from_pretrained(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("table.weight", "item table"),
        ("weights", "item table"),
        ("1.table.weight", "member 2, item table"),
        ("blocks.0.attention_out.bias", "block 1"),
        ("0.blocks.11.norm.bias", "member 1, block 12"),
        ("body.model.encoder.layer.3.output.dense.weight", "block 4"),
        ("positions.weight", "positions"),
        ("body.model.embeddings.LayerNorm.bias", "norms"),
        ("projection.weight", "projection"),
        ("body.model.embeddings.word_embeddings.weight", "embeddings"),
        ("similarities", "similarities"),
    ],
)
def test_arrays_belong_to_parts_that_people_know(name, part):
    assert part_of(name) == part
    assert is_item_table(name) == part.endswith("item table")
