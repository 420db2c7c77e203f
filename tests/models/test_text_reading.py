"""Each text has one vector, whatever is read beside it and whatever pads it."""

import numpy as np
import pytest
import torch
from torch import nn

from distilrec.models.body import body_from_config
from distilrec.models.text_reading import read_texts

pytest.importorskip("transformers", reason="transformers is not installed")

TEXTS = [
    np.array(text, dtype=np.int64) for text in ([3, 4], [], [5], [1, 2, 3, 4, 5, 6, 7], [4, 3], [6, 6, 6, 6, 6, 6])
]
PADDING = 9


class Numbers(nn.Module):
    """Stands in for a language model: a word's vector is its number and 1. It notes what it was asked."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.config, self.width, self.asked = {"pad_token_id": PADDING}, 2, []

    def read(self, tokens, real):
        assert (tokens[~real] == PADDING).all()
        self.asked.append(tuple(tokens.shape))
        return torch.stack([tokens.float(), torch.ones(tokens.shape)], dim=-1) * self.weight


def read(pooling="mean", *, token_budget=64, texts=TEXTS):
    body = Numbers()
    vectors = read_texts(body, texts, pooling=pooling, token_budget=token_budget).detach().numpy()
    return vectors, body.asked


@pytest.mark.parametrize(
    ("pooling", "number"), [("mean", [3.5, 4]), ("cls", [3, 1]), ("max", [4, 7]), ("lasttoken", [4, 7])]
)
def test_each_way_of_pooling(pooling, number):
    vectors, _ = read(pooling)
    for row, wanted in zip((0, 3), number, strict=True):
        np.testing.assert_allclose(vectors[row], np.array([wanted, 1]) / np.hypot(wanted, 1), rtol=1e-6)


def test_a_text_without_words_has_a_vector_of_zeros():
    vectors, _ = read()
    np.testing.assert_array_equal(vectors[1], [0, 0])
    assert read(texts=TEXTS[1:2])[0].tolist() == [[0, 0]]
    assert read(texts=[])[0].shape == (0, 2)


def test_vectors_keep_their_order_however_they_are_batched():
    together, _ = read(token_budget=64)
    alone, asked = read(token_budget=1)
    np.testing.assert_array_equal(together, alone)
    assert sorted(asked) == [(1, 1), (1, 2), (1, 2), (1, 6), (1, 7)]


def test_batches_hold_texts_of_similar_length_within_the_budget():
    """Budget 14: two of 7 and 6 words share a batch; those of 2 and 1 words are too few to be apart."""
    assert read(token_budget=14)[1] == [(2, 7), (2, 2), (1, 1)]
    assert read(token_budget=64)[1] == [(2, 7), (3, 2)]
    assert read(token_budget=400)[1] == [(5, 7)]


def test_a_batch_without_words_has_a_gradient_of_nothing():
    body = Numbers()
    read_texts(body, TEXTS[1:2], pooling="mean", token_budget=64).sum().backward()
    assert body.weight.grad is None


SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 12}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 12}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 8, "vocab_size": 12}
BODIES = [
    {"model_type": "bert", **SHAPE},
    {"model_type": "roberta", **SHAPE, "pad_token_id": 1, "max_position_embeddings": 12},
    {"model_type": "llama", **SHAPE, "num_key_value_heads": 1, "use_cache": False},
    {"model_type": "gpt2", **GPT2, "use_cache": False},
    {"model_type": "t5", **T5, "is_encoder_decoder": False},
]


def real_body(config):
    torch.manual_seed(0)
    body = body_from_config(config, words=True).eval()
    for parameter in body.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.5)
    return body


@pytest.mark.parametrize("config", BODIES, ids=lambda config: config["model_type"])
@pytest.mark.parametrize("gradients", [True, False])
def test_in_real_language_models_padding_changes_nothing(config, gradients):
    body = real_body(config)
    texts = [text + 2 for text in TEXTS if len(text)]  # past the padding words of all of them
    with torch.set_grad_enabled(gradients):
        padded, alone = (read_texts(body, texts, pooling="mean", token_budget=budget).detach() for budget in (1000, 1))
    np.testing.assert_allclose(padded, alone, atol=1e-5)
    assert (padded[0] - padded[-1]).abs().max() > 1e-2


@pytest.mark.parametrize("config", BODIES, ids=lambda config: config["model_type"])
def test_encoders_look_both_ways_and_decoders_backwards(config):
    body, real = real_body(config), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        first, other = (body.read(torch.tensor([[3, 4, last]]), real)[0, 0] for last in (5, 6))
    assert ((first - other).abs().max() > 1e-3) == (config["model_type"] not in ("llama", "gpt2"))
