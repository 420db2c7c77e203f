"""A teacher that reads histories and items as text: made from a pretrained language model's folder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from pydantic import Field

from distilrec.encode.folder import locate, read_folder, transformer_folder
from distilrec.errors import DataError, SettingsError, SourceError
from distilrec.models.body import Body, BodySettings, load_body
from distilrec.models.pretrained import FAMILIES
from distilrec.models.text_language_model import TextLanguageModel, TextLanguageModelSettings, TextReading
from distilrec.models.text_reading import Pooling
from distilrec.models.text_sampling import Sampler, nearest_items
from distilrec.types import IntArray, Ragged

_NO_LIMIT = 100_000  # tokenizers without a limit say 10^30


class TextTeacherSettings(TextReading, BodySettings):
    """Which language model reads the texts, how it is fine-tuned, and how much it reads."""

    pooling: Literal["auto"] | Pooling = "auto"
    """How the vectors of all tokens become one; auto is what the folder says, else the mean, or a decoder's last."""
    separator: str = "; "
    """Text between two items of a history."""
    history_prompt: str = ""
    """Text before a history; with it, a history of one item reads differently from the item."""
    item_prompt: str = ""
    """Text before an item that is read by itself."""
    neighbours: int = Field(50, ge=1)
    """How many of the items that are nearest before training hard negatives are drawn from."""


def build_text_language_model(
    settings: TextTeacherSettings, texts: Sequence[str], *, counts: IntArray | None = None
) -> TextLanguageModel:
    """A teacher ready to be fine-tuned: its folder read, the items' texts in tokens, hard negatives to draw from.

    A tokenizer needs no padding token. Of a sentence-transformers folder, layers after the pooling are left out: what
    they do is learnt anew. Random weights and what LoRA starts from are drawn from torch's own generator:
    seed that first.

    Args:
        texts: what is read of each item, [N]; an item with an empty text gets a vector of zeros and scores 0.
        counts: how often each item is chosen in training, [N]; see `Sampler`.

    Raises:
        SourceError: the folder holds no language model or no tokenizer, or none that can be used.
        SettingsError: `max_tokens` is more than the model reads, or leaves no room for a text.
        DataError: no item has a text.
    """
    if counts is not None and len(counts) != len(texts):
        raise SettingsError(f"counts are of {len(counts):,} items; expected one for each of the {len(texts):,} texts")
    folder = locate(settings.body)
    tokenizer = load_tokenizer(transformer_folder(folder))
    body = load_body(settings, words=True)
    _check_length(settings.max_tokens, folder, tokenizer, body)
    pooling = settings.pooling if settings.pooling != "auto" else _pooling(folder, body)
    shape = TextLanguageModelSettings(
        **{name: getattr(settings, name) for name in TextReading.model_fields},
        body_config=body.config,
        pooling=pooling,
        **_tokens_around(settings, tokenizer, pooling),
    )
    tokens = _tokens(tokenizer, texts, settings.item_tokens)
    _check_words(folder, tokens, shape)
    model = TextLanguageModel(shape, tokens, body=body)
    model.sampler = _sampler(settings, model, counts)
    return model


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401  (transformers' own, without types)
    """The tokenizer of a folder; one without is refused."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:  # transformers' three ways to refuse a folder
        raise SourceError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
    files = sorted({"tokenizer.json", *map(str, tokenizer.vocab_files_names.values())})
    if not any((folder / name).is_file() for name in files):  # transformers makes one that knows no words
        raise SourceError(f"{folder} holds no tokenizer: expected {' or '.join(files)}")
    return tokenizer


def _check_length(max_tokens: int, folder: Path, tokenizer: Any, body: Body) -> None:  # noqa: ANN401
    most = min(int(limit) for limit in (tokenizer.model_max_length, body.max_positions, _NO_LIMIT) if limit)
    if max_tokens > most:
        raise SettingsError(f"max_tokens is {max_tokens}; {folder} reads at most {most} tokens")


def _pooling(folder: Path, body: Body) -> Pooling:
    """What a sentence-transformers folder says; else a decoder's last token, which alone has seen all others."""
    if (folder / "modules.json").is_file():
        return cast(Pooling, read_folder(folder).pooling)
    return "lasttoken" if FAMILIES[body.config["model_type"]].causal else "mean"


def _tokens(tokenizer: Any, texts: Sequence[str], most: int) -> Ragged:  # noqa: ANN401
    """The tokens of each text, without special ones."""
    found = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=most)["input_ids"]
    empty = sum(not tokens for tokens in found)
    if empty == len(found):
        raise DataError(f"none of the {len(found):,} items has a text; a text language model has nothing to read")
    if empty:
        warnings.warn(
            f"{empty:,} of {len(found):,} items have no text: their vectors are zero, and they score 0 after every "
            "history. Give them text, or rank them by another model",
            stacklevel=3,
        )
    return Ragged.of(found)


def _check_words(folder: Path, tokens: Ragged, shape: TextLanguageModelSettings) -> None:
    known = int(shape.body_config["vocab_size"])
    highest = max(int(tokens.values.max()), *shape.history_begin, *shape.item_begin, *shape.separator, *shape.end, 0)
    if highest >= known:
        raise SourceError(
            f"the tokenizer in {folder} gives token {highest}, and the model knows tokens 0 to {known - 1}; "
            "expected the tokenizer of this model"
        )


def _tokens_around(
    settings: TextTeacherSettings,
    tokenizer: Any,  # noqa: ANN401
    pooling: Pooling,
) -> dict[str, tuple[int, ...]]:
    """The tokens before, between and after texts."""

    def plain(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()

    word, whole = plain("a"), tuple(tokenizer("a")["input_ids"])
    at = next(place for place in range(len(whole)) if whole[place : place + len(word)] == word)
    begin, end = whole[:at], whole[at + len(word) :]
    if pooling == "lasttoken" and not end and tokenizer.eos_token_id is not None:
        end = (tokenizer.eos_token_id,)  # the same after every text, so that it can stand for the whole
    before = {"history": begin + plain(settings.history_prompt), "item": begin + plain(settings.item_prompt)}
    for name, tokens in before.items():
        if len(tokens) + len(end) >= settings.max_tokens:
            raise SettingsError(
                f"max_tokens is {settings.max_tokens}, and {name}_prompt with special tokens takes "
                f"{len(tokens) + len(end)}; nothing is left for the text"
            )
    return {
        **{f"{name}_begin": tokens for name, tokens in before.items()},
        "separator": plain(settings.separator),
        "end": end,
    }


def _sampler(settings: TextTeacherSettings, model: TextLanguageModel, counts: IntArray | None) -> Sampler:
    nearest = np.zeros((model.n_items, 0), dtype=np.int64)
    if settings.hard_negatives:
        nearest = nearest_items(model.item_vectors(), settings.neighbours)
    return Sampler(
        positions=settings.positions, hard_negatives=settings.hard_negatives, neighbours=nearest, counts=counts
    )
