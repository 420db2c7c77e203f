import subprocess
import sys

import numpy as np
import pytest

from distilrec.encode import cache
from distilrec.encode.cache import encode_cached
from distilrec.encode.settings import EncodeSettings
from distilrec.errors import DataError, SettingsError


class LengthEncoder:
    """Says the length of each text, and remembers what it was asked; can be made to stop."""

    def __init__(self):
        self.asked = []
        self.stop_after = 100

    def encode(self, texts, *, token_budget, advance):
        if len(self.asked) == self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(list(texts))
        advance(len(texts))
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)


@pytest.fixture
def encoder(monkeypatch):
    encoder = LengthEncoder()
    monkeypatch.setattr(cache, "_load", lambda model, settings: encoder)
    return encoder


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return EncodeSettings(model=str(tmp_path / "model"))


@pytest.fixture
def encode(tmp_path, settings):
    def run(texts, **changes):
        changed = settings.with_changes(**changes)
        return encode_cached(texts, changed, cache_dir=tmp_path / "cache", quiet=True)

    return run


def only_file(folder):
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    return file


def test_vectors_come_in_the_order_of_the_texts_with_zeros_for_empty_ones(encode, encoder):
    vectors = encode(["three", "", "a", "three"])
    np.testing.assert_array_equal(vectors, [[5, 1], [0, 0], [1, 1], [5, 1]])
    assert vectors.dtype == np.float32
    assert encoder.asked == [["a", "three"]]


def test_what_was_encoded_once_is_read_without_loading_a_model(encode, encoder, monkeypatch):
    first = encode(["a", "bb"])
    monkeypatch.setattr(cache, "_load", lambda *_: pytest.fail("a model was loaded"))
    np.testing.assert_array_equal(encode(["bb", "a", "a"]), first[[1, 0, 0]])


@pytest.mark.parametrize("changes", [{"max_tokens": 8}, {"dtype": "float32"}])
def test_other_settings_are_another_entry(encode, encoder, changes):
    encode(["a"])
    encode(["a"], **changes)
    assert len(encoder.asked) == 2


@pytest.mark.parametrize("changes", [{"template": "{title}"}, {"token_budget": 1}, {"device": "cpu"}])
def test_settings_that_do_not_change_the_vectors_share_an_entry(encode, encoder, changes):
    encode(["a"])
    encode(["a"], **changes)
    assert len(encoder.asked) == 1


def test_another_model_in_the_same_folder_is_another_entry(encode, encoder, tmp_path):
    encode(["a"])
    (tmp_path / "model" / "config.json").write_text('{"changed": true}')
    encode(["a"])
    assert len(encoder.asked) == 2


def test_texts_that_only_join_to_the_same_letters_are_another_entry(encode, encoder):
    encode(["ab", "c"])
    encode(["a", "bc"])
    assert len(encoder.asked) == 2


def test_an_interrupted_encoding_goes_on_where_it_stopped(encode, encoder, monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "SHARD_TEXTS", 2)
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    encoder.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        encode(texts)
    encoder.asked.clear()
    encoder.stop_after = 100
    np.testing.assert_array_equal(encode(texts)[:, 0], [1, 2, 3, 4, 5])
    assert encoder.asked == [["eeeee"]]
    assert only_file(tmp_path / "cache").suffix == ".safetensors"  # the parts are gone


def test_a_damaged_entry_is_reported_and_computed_again(encode, encoder, tmp_path, settings, capsys):
    whole = encode(["a", "bb"])
    file = only_file(tmp_path / "cache")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    again = encode_cached(["a", "bb"], settings, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(again, whole)
    assert f"{file} is damaged; its texts are encoded again" in capsys.readouterr().err
    assert len(encoder.asked) == 2


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_an_entry_that_is_no_tensor_file_is_computed_again(encode, encoder, tmp_path, content):
    encode(["a"])
    only_file(tmp_path / "cache").write_bytes(content)
    np.testing.assert_array_equal(encode(["a"]), [[1, 1]])


def test_nothing_to_encode_is_refused(encode):
    with pytest.raises(DataError, match="all 2 texts are empty; there is nothing to encode"):
        encode(["", ""])


def test_one_call_takes_one_model(encode):
    with pytest.raises(SettingsError, match=r"expected one model, got a, b; encode\.items joins several"):
        encode(["red"], model=["a", "b"])


def test_the_real_encoder_is_loaded_on_a_miss(saved_bert, tmp_path):
    settings = EncodeSettings(model=str(saved_bert), dtype="float32", device="cpu")
    vectors = encode_cached(["red hat", "hat"], settings, cache_dir=tmp_path, quiet=True)
    assert vectors.shape == (2, 32)


def test_a_cache_hit_needs_no_torch(encode, encoder, tmp_path, settings):
    encode(["a"])
    code = (
        "import sys; from pathlib import Path; from distilrec.encode.cache import encode_cached; "
        "from distilrec.encode.settings import EncodeSettings; "
        f"encode_cached(['a'], EncodeSettings(model={settings.model!r}), cache_dir=Path({str(tmp_path / 'cache')!r})); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
