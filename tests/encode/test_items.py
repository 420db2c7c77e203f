"""A catalogue's vectors come with the facts that a table of sizes needs."""

import shutil

import numpy as np
import polars as pl
import pytest

from distilrec.encode.items import digest_of_encoders, encode_items
from distilrec.encode.settings import EncodeSettings
from distilrec.errors import DataError, SourceError

ITEMS = pl.DataFrame({"item_id": [1, 2, 3], "title": ["red shoe", None, "blue hat"], "colour": ["red", None, "blue"]})


def encode(bert, tmp_path, **settings):
    chosen = EncodeSettings(**{"model": str(bert), **settings})
    return encode_items(ITEMS, chosen, cache_dir=tmp_path / "cache", quiet=True)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def other_bert(bert, tmp_path):
    """The same shape with weights half as large, and so with other vectors."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(bert, tmp_path / "other")
    weights = {name: 0.5 * array for name, array in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.filterwarnings("ignore:.*have no text")
def test_an_item_without_text_has_zeros(bert, tmp_path):
    vectors, about = encode(bert, tmp_path)
    assert vectors.shape == (3, 32)
    assert not vectors[1].any()
    assert vectors[[0, 2]].any(axis=1).all()
    assert about["items_without_text"] == 1
    assert about["width"] == 32


def test_an_item_without_text_is_reported(bert, tmp_path):
    with pytest.warns(UserWarning, match="1 of 3 items have no text; their vectors are zero"):
        encode(bert, tmp_path)


@pytest.mark.filterwarnings("ignore:.*have no text")
def test_the_template_is_the_one_given_or_the_columns_that_look_like_text(bert, tmp_path):
    by_title, said = encode(bert, tmp_path)
    by_colour, other = encode(bert, tmp_path, template="{colour}")
    assert (said["template"], other["template"]) == ("{title}", "{colour}")
    assert not np.allclose(by_title, by_colour)


@pytest.mark.filterwarnings("ignore:.*have no text")
def test_parameters_and_bytes_are_those_of_the_weights(bert, tmp_path):
    from transformers import BertModel

    _, about = encode(bert, tmp_path)
    model = BertModel.from_pretrained(bert)
    assert about["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert about["bytes"] == (bert / "model.safetensors").stat().st_size
    assert about["model"] == "bert"


@pytest.mark.filterwarnings("ignore:.*have no text")
def test_layers_after_the_transformer_count_and_integers_do_not(bert, tmp_path):
    """A buffer of positions is shipped, but nothing was learnt in it."""
    from safetensors.numpy import save_file

    before = encode(bert, tmp_path)[1]
    (bert / "2_Dense").mkdir()
    arrays = {"linear.weight": np.zeros((4, 3), np.float32), "position_ids": np.arange(7)}
    save_file(arrays, bert / "2_Dense" / "model.safetensors")
    after = encode(bert, tmp_path)[1]
    assert after["parameters"] - before["parameters"] == 12
    assert after["bytes"] > before["bytes"] + 12 * 4
    assert after["digest"] != before["digest"]


def test_a_column_that_the_catalogue_lacks_is_named_with_those_it_has(bert, tmp_path):
    with pytest.raises(DataError, match="names 'plot'; the catalogue has item_id, title, colour"):
        encode(bert, tmp_path, template="{plot}")


def test_a_catalogue_without_text_says_so(bert, tmp_path):
    with pytest.raises(DataError, match="the catalogue has no column that looks like text"):
        encode_items(ITEMS.select("item_id"), EncodeSettings(model=str(bert)), cache_dir=tmp_path)


def test_an_unknown_encoder_is_named(tmp_path):
    with pytest.raises(SourceError, match="nowhere does not exist; expected the folder of an encoder"):
        encode_items(ITEMS, EncodeSettings(model=str(tmp_path / "nowhere"), template="{item_id}"), cache_dir=tmp_path)


@pytest.mark.filterwarnings("ignore:.*have no text")
def test_every_model_reads_every_template_and_the_parts_of_unit_length_stand_side_by_side(bert, other_bert, tmp_path):
    models, templates = [str(bert), str(other_bert)], ["{title}", "{colour}"]
    vectors, about = encode(bert, tmp_path, model=models, template=templates)
    parts = [encode(bert, tmp_path, model=m, template=t)[0][[0, 2]] for m in models for t in templates]
    np.testing.assert_allclose(vectors[[0, 2]], np.concatenate([unit(part) for part in parts], axis=1), atol=1e-6)
    assert not vectors[1].any()
    assert vectors.dtype == np.float32
    assert (about["width"], about["template"]) == (4 * 32, templates)


@pytest.mark.filterwarnings("ignore:.*have no text")
def test_an_item_without_text_for_one_template_has_zeros_in_that_part_alone(bert, tmp_path):
    items = ITEMS.with_columns(kind=pl.Series(["shoe", "hat", None]))
    settings = EncodeSettings(model=str(bert), template=("{title}", "{kind}"))
    vectors, about = encode_items(items, settings, cache_dir=tmp_path, quiet=True)
    lengths = np.linalg.norm(vectors.reshape(3, 2, 32), axis=2)
    np.testing.assert_allclose(lengths, [[1, 1], [0, 1], [1, 0]], atol=1e-6)
    assert about["items_without_text"] == 0


@pytest.mark.filterwarnings("ignore:.*have no text")
def test_one_model_and_template_in_a_list_give_exactly_what_they_give_alone(bert, tmp_path):
    alone, said = encode(bert, tmp_path, template="{title}")
    listed, also_said = encode(bert, tmp_path, model=[str(bert)], template=["{title}"])
    np.testing.assert_array_equal(alone, listed)
    assert np.abs(np.linalg.norm(alone[0]) - 1) > 0.1  # not scaled
    assert said == also_said
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1


@pytest.mark.filterwarnings("ignore:.*have no text")
def test_a_model_with_two_templates_counts_once_and_two_models_count_both(bert, other_bert, tmp_path):
    _, one = encode(bert, tmp_path)
    _, twice = encode(bert, tmp_path, template=["{title}", "{colour}"])
    _, both = encode(bert, tmp_path, model=[str(bert), str(other_bert)])
    assert (twice["model"], twice["parameters"], twice["bytes"]) == ("bert", one["parameters"], one["bytes"])
    assert (both["model"], both["parameters"]) == ("bert + other", 2 * one["parameters"])
    assert both["bytes"] > one["bytes"]
    assert twice["digest"] == one["digest"] != both["digest"]


def test_the_digest_of_several_models_changes_with_the_content_of_each_and_with_their_order(bert, other_bert):
    models = (str(bert), str(other_bert))
    before = digest_of_encoders(EncodeSettings(model=models))
    assert digest_of_encoders(EncodeSettings(model=models[::-1])) != before
    (other_bert / "config.json").write_text("{}")
    assert digest_of_encoders(EncodeSettings(model=models)) != before
