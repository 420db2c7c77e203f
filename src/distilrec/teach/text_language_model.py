"""A teacher that reads histories and items as text: made from a pretrained language model's folder."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from distilrec.encode.folder import locate, read_folder
from distilrec.errors import DataError, MissingExtraError, SettingsError, SourceError
from distilrec.models.text_language_model import (
    ENCODER_DECODERS,
    Pooling,
    TextLanguageModel,
    TextLanguageModelSettings,
    TextReading,
    build_body,
    without_pooler,
)
from distilrec.types import IntArray, Ragged

_NO_LIMIT = 100_000  # tokenizers without a limit say 10^30
_CHUNK_ITEMS = 1024
_NOT_SHAPE = ("architectures", "dtype", "transformers_version", "_name_or_path", "id2label", "label2id")


class TextTeacherSettings(TextReading):
    """Which language model reads the texts, and how it is fine-tuned."""

    model: str = "all-MiniLM-L6-v2"
    """A folder, or a name on the Hugging Face hub: an encoder, a decoder, or an encoder-decoder of T5's type."""
    body: Literal["any", "encoder", "decoder"] = "any"
    """What the folder must hold; an encoder looks both ways, a decoder only backwards."""
    start: Literal["pretrained", "random"] = "pretrained"
    """Whether its weights are used, or only its shape: what the weights are worth is seen by comparing the two."""
    fine_tune: Literal["all", "last", "none"] = "all"
    """What of it is trained: everything, the last layers, or nothing but the temperature."""
    last_layers: int = Field(2, ge=1)
    """How many layers `last` means."""
    pooling: Literal["auto"] | Pooling = "auto"
    """How the vectors of all tokens become one; auto is what the folder says, else the mean, or a decoder's last."""
    separator: str = "; "
    """Text between two items of a history."""
    history_prompt: str = ""
    """Text before a history; with it, a history of one item reads differently from the item."""
    item_prompt: str = ""
    """Text before an item that is read by itself."""
    neighbours: int = Field(50, ge=1)
    """How many of the nearest items, before training, hard negatives are drawn from."""


def build_text_language_model(
    settings: TextTeacherSettings, texts: Sequence[str], *, counts: IntArray | None = None
) -> TextLanguageModel:
    """A teacher ready to be fine-tuned: its folder read, the items' texts in tokens, hard negatives to draw from.

    A tokenizer needs no padding token. A random start draws from torch's generator, so seed it.

    Args:
        texts: what is read of each item, [N]; an item with an empty text gets a vector of zeros and scores 0.
        counts: how often each item is chosen in training, [N]; see `TextLanguageModel`.

    Raises:
        SourceError: the folder holds no language model, or not one of the kind asked for.
        SettingsError: `max_tokens` is more than the model reads, or leaves no room for a text.
        DataError: no item has a text.
    """
    for library in ("torch", "transformers"):
        if importlib.util.find_spec(library) is None:
            raise MissingExtraError(library, "train")
    if counts is not None and len(counts) != len(texts):
        raise SettingsError(f"counts are of {len(counts):,} items; expected one for each of the {len(texts):,} texts")
    folder, pooling = _read_folder(locate(settings.model))
    tokenizer, config = _tokenizer_and_config(folder)
    family = _family(folder, config, settings.body)
    _check_length(settings.max_tokens, folder, tokenizer, config)
    if settings.pooling != "auto":
        pooling = settings.pooling
    elif pooling is None:
        pooling = "lasttoken" if family == "decoder" else "mean"
    tokens = _tokens(tokenizer, texts, settings.item_tokens)
    body = _load_body(folder, config, settings.start)
    shape = TextLanguageModelSettings(
        **{name: getattr(settings, name) for name in TextReading.model_fields},
        body=_plain_config(body),
        pooling=pooling,
        **_texts_around(settings, tokenizer, pooling),
    )
    model = TextLanguageModel(shape, body, tokens)
    nearest = nearest_items(model.item_vectors(), settings.neighbours) if settings.hard_negatives else None
    model.set_negatives(nearest, counts)
    _freeze(body, settings)
    return model


def _read_folder(path: Path) -> tuple[Path, Pooling | None]:
    """Where the language model and its tokenizer lie, and how a sentence-transformers folder says to pool."""
    if (path / "modules.json").is_file():
        folder = read_folder(path)
        return folder.transformer, folder.pooling  # type: ignore[return-value]  # one of those that it knows
    if not (path / "config.json").is_file():
        raise SourceError(f"{path} holds no model: expected config.json, model.safetensors and a tokenizer")
    return path, None


def _tokenizer_and_config(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:  # transformers' three ways to refuse a folder
        raise SourceError(f"{folder} cannot be read as a language model: {error}") from error


def _family(folder: Path, config: Any, wanted: str) -> str:  # noqa: ANN401  (transformers' own, without types)
    """encoder or decoder."""
    from transformers.models.auto import modeling_auto as known

    kind = config.model_type
    if kind in ENCODER_DECODERS or kind in known.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        found = "encoder"
    elif config.is_encoder_decoder or kind not in known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise SourceError(
            f"{folder} holds a model of type {kind!r}; expected a language model: an encoder such as BERT, a decoder "
            f"such as GPT-2, Llama or Qwen, or an encoder-decoder of type {', '.join(ENCODER_DECODERS)}"
        )
    else:
        found = "decoder"
    if wanted not in ("any", found):
        raise SourceError(f"{folder} holds {kind}, which is an {found}; expected a {wanted}".replace("an d", "a d"))
    return found


def _check_length(max_tokens: int, folder: Path, tokenizer: Any, config: Any) -> None:  # noqa: ANN401
    said = tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)
    most = min(int(limit) for limit in (*said, _NO_LIMIT) if limit)
    if max_tokens > most:
        raise SettingsError(f"max_tokens is {max_tokens}; {folder} reads at most {most} tokens")


def _tokens(tokenizer: Any, texts: Sequence[str], item_tokens: int) -> Ragged:  # noqa: ANN401
    """The tokens of each text, without special ones."""
    found = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=item_tokens)["input_ids"]
    empty = sum(not tokens for tokens in found)
    if empty == len(found):
        raise DataError(f"none of the {len(found):,} items has a text; a text language model has nothing to read")
    if empty:
        warnings.warn(
            f"{empty:,} of {len(found):,} items have no text: their vectors are zero, and they score 0 "
            "after every history. Give them text, or rank them by another model",
            stacklevel=3,
        )
    return Ragged.of(found)


def _texts_around(
    settings: TextTeacherSettings,
    tokenizer: Any,  # noqa: ANN401
    pooling: Pooling,
) -> dict[str, tuple[int, ...]]:
    """The tokens before, between and after texts."""

    def plain(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    word, whole = plain("a"), tuple(tokenizer("a")["input_ids"])
    at = next(place for place in range(len(whole)) if whole[place : place + len(word)] == word)
    begin, end = whole[:at], whole[at + len(word) :]
    if pooling == "lasttoken" and not end and tokenizer.eos_token_id is not None:
        end = (tokenizer.eos_token_id,)  # it has seen the whole text, and means nothing else
    around = {
        "history_begin": begin + plain(settings.history_prompt),
        "item_begin": begin + plain(settings.item_prompt),
    }
    for name, before in around.items():
        if len(before) + len(end) >= settings.max_tokens:
            raise SettingsError(
                f"max_tokens is {settings.max_tokens}, of which {len(before) + len(end)} are special tokens and "
                f"{name.replace('begin', 'prompt')}; nothing is left for the text"
            )
    return {**around, "separator": plain(settings.separator), "end": end}


def _load_body(folder: Path, config: Any, start: str) -> nn.Module:  # noqa: ANN401
    from transformers import AutoModel, AutoModelForTextEncoding

    config.use_cache = False
    if start == "random":
        return build_body(config.to_dict())
    maker = AutoModelForTextEncoding if config.model_type in ENCODER_DECODERS else AutoModel
    try:
        body = maker.from_pretrained(folder, config=config, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        raise SourceError(f"{folder} cannot be loaded as a language model: {error}") from error
    return without_pooler(body)


def _plain_config(body: nn.Module) -> dict[str, Any]:
    """What the shape of a language model depends on."""
    config: dict[str, Any] = body.config.to_diff_dict()  # type: ignore[union-attr, operator]
    return {key: value for key, value in config.items() if key not in _NOT_SHAPE}


def nearest_items(vectors: Tensor, count: int) -> IntArray:
    """The rows of the items with the most similar unit vectors, best first, without the item itself, [N, H].

    There are fewer than `count` in a catalogue that has not as many others.
    """
    count = min(count, len(vectors) - 1)
    nearest = np.empty((len(vectors), count), dtype=np.int64)
    for start in range(0, len(vectors), _CHUNK_ITEMS):
        similar = vectors[start : start + _CHUNK_ITEMS] @ vectors.T  # [chunk, N]
        rows = torch.arange(len(similar), device=similar.device)
        similar[rows, start + rows] = -torch.inf
        nearest[start : start + _CHUNK_ITEMS] = similar.topk(count, dim=1).indices.cpu().numpy()
    return nearest


def _freeze(body: nn.Module, settings: TextTeacherSettings) -> None:
    """Leave open what is fine-tuned."""
    if settings.fine_tune == "all":
        return
    body.requires_grad_(False)
    if settings.fine_tune == "last":
        layers = max((part for part in body.modules() if isinstance(part, nn.ModuleList)), key=len)
        if settings.last_layers > len(layers):
            raise SettingsError(f"last_layers is {settings.last_layers}; {settings.model} has {len(layers)} layers")
        layers[-settings.last_layers :].requires_grad_(True)
