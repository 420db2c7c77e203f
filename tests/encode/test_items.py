"""A catalogue's vectors come with the facts that a table of sizes needs."""

import numpy as np
import polars as pl
import pytest

from distilrec.encode.items import encode_items
from distilrec.encode.settings import EncodeSettings
from distilrec.errors import DataError, SourceError

ITEMS = pl.DataFrame({"item_id": [1, 2, 3], "title": ["red shoe", None, "blue hat"], "colour": ["red", None, "blue"]})


def encode(bert, tmp_path, **settings):
    return encode_items(ITEMS, EncodeSettings(model=str(bert), **settings), cache_dir=tmp_path / "cache", quiet=True)


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
