"""Tiny models of the real transformers classes, made on the spot and saved to disk with tokenizers of their own.

Their words are the letters and a few whole words, so that any text in small letters can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_POSITIONS = 24
WIDTH, BLOCKS = 16, 2
WORDS = ["red", "green", "blue", "shoe", "hat", *"abcdefghijklmnopqrstuvwxyz", *"0123456789", *".,;:-"]
_SHAPE: dict[str, Any] = {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": 2}
_WIDE: dict[str, Any] = {**_SHAPE, "intermediate_size": 32, "max_position_embeddings": MAX_POSITIONS}


def save_tiny_body(kind: str, folder: Path, **changes: Any) -> Path:
    """One of `KINDS` with weights that are far from zero; `changes` are to its configuration."""
    import torch
    from transformers.utils import logging

    tokenizer, config, make = KINDS[kind]()
    config.update({"vocab_size": len(tokenizer), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make(config)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    logging.enable_progress_bar()
    tokenizer.save_pretrained(folder)
    return folder


def shared_body(kind: str, base: Path) -> Path:
    """One that is made once below a session's folder for all tests that ask for it, and not to be changed."""
    folder = base / "bodies" / kind
    return folder if folder.exists() else save_tiny_body(kind, folder)


def _bert() -> Any:
    from transformers import BertConfig, BertForMaskedLM

    return _word_pieces(), BertConfig(**_WIDE, initializer_range=0.3), BertForMaskedLM


def _distilbert() -> Any:
    from transformers import DistilBertConfig, DistilBertModel

    shape = {"dim": WIDTH, "n_layers": BLOCKS, "n_heads": 2, "hidden_dim": 32}
    config = DistilBertConfig(**shape, max_position_embeddings=MAX_POSITIONS, initializer_range=0.3)
    return _word_pieces(), config, DistilBertModel


def _roberta() -> Any:
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizer

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = RobertaTokenizer(vocab=_numbered([*special, *_byte_words()]), merges=[])
    return tokenizer, RobertaConfig(**_WIDE, pad_token_id=1, initializer_range=0.3), RobertaModel


def _gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

    tokenizer = GPT2Tokenizer(vocab=_numbered(["<|endoftext|>", *_byte_words()]), merges=[])
    shape = {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": 2, "n_positions": MAX_POSITIONS}
    return tokenizer, GPT2Config(**shape, bos_token_id=0, eos_token_id=0, initializer_range=0.3), GPT2LMHeadModel


def _llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer

    tokenizer = LlamaTokenizer(vocab=_numbered(["<unk>", "<s>", "</s>", "▁", *WORDS]), merges=[])
    return tokenizer, LlamaConfig(**_WIDE, num_key_value_heads=1, initializer_range=0.3), LlamaForCausalLM


def _qwen2() -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

    tokenizer = Qwen2Tokenizer(vocab=_numbered(["<|endoftext|>", *_byte_words()]), merges=[])
    return tokenizer, Qwen2Config(**_WIDE, num_key_value_heads=1, initializer_range=0.3), Qwen2ForCausalLM


def _t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((word, -3.0) for word in WORDS)]
    shape = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": BLOCKS, "num_heads": 2}
    config = T5Config(**shape, decoder_start_token_id=0)
    return T5Tokenizer(vocab=pieces, extra_ids=0), config, T5ForConditionalGeneration


KINDS: dict[str, Callable[[], Any]] = {
    "bert": _bert,
    "roberta": _roberta,
    "distilbert": _distilbert,
    "gpt2": _gpt2,
    "llama": _llama,
    "qwen2": _qwen2,
    "t5": _t5,
}
"""For each type of model its tokenizer, its configuration and its class."""


def _word_pieces() -> Any:
    from transformers import BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    return BertTokenizer(vocab=_numbered([*special, *WORDS, *letters]), model_max_length=MAX_POSITIONS)


def _byte_words() -> list[str]:
    """Single letters, with the sign for a space that byte-level tokenizers use."""
    return ["Ġ", *(word for word in WORDS if len(word) == 1)]


def _numbered(words: list[str]) -> dict[str, int]:
    return {word: row for row, word in enumerate(words)}
