"""A causal language model from its folder, with its head: anything that looks ahead is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from distilrec.errors import SourceError
from distilrec.models.pretrained import quietly
from distilrec.teach.text_language_model import load_tokenizer

_NO_LIMIT = 10**9  # tokenizers without one say 10^30
_PROBES = [[1, 2, 3, 4], [1, 0, 0, 0]]  # the same first token, then others


def load_causal_model(folder: Path, dtype: torch.dtype, device: str) -> tuple[Any, Any]:
    """The model and its tokenizer, of transformers.

    Raises:
        SourceError: the folder holds another kind of model, or no tokenizer, or another model's.
    """
    tokenizer = load_tokenizer(folder)
    model = _load(folder, dtype).to(device)
    _check_causal(model, folder)
    _check_words(tokenizer, model, folder)
    return model, tokenizer


def most_tokens(model: Any, tokenizer: Any) -> int:  # noqa: ANN401
    """How many tokens it reads, of all that its folder says."""
    said = (getattr(tokenizer, "model_max_length", None), getattr(model.config, "max_position_embeddings", None))
    return min(int(limit) for limit in (*said, _NO_LIMIT) if limit)


def tokens_before_texts(tokenizer: Any) -> list[int]:  # noqa: ANN401
    """What a tokenizer puts before every text, such as a sign for its beginning."""
    word, whole = tokenizer("a", add_special_tokens=False)["input_ids"], tokenizer("a")["input_ids"]
    at = next((place for place in range(len(whole)) if whole[place : place + len(word)] == word), 0)
    return list(whole[:at])


def _load(folder: Path, dtype: torch.dtype) -> Any:  # noqa: ANN401
    from transformers import AutoModelForCausalLM

    with quietly():  # what transformers warns of is refused below
        try:
            model, report = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError, KeyError) as error:  # transformers' three ways to refuse a folder
            raise SourceError(f"{folder} cannot be loaded as a causal language model: {error}") from error
    if missing := sorted(report["missing_keys"]):
        raise SourceError(
            f"{folder} is no causal language model: it lacks {len(missing)} of the weights of {type(model).__name__} "
            f"({missing[0]} ...). Expected one that predicts the next token, such as GPT-2, Llama or Qwen"
        )
    return model.eval()


def _check_causal(model: Any, folder: Path) -> None:  # noqa: ANN401
    """Refuse a model that looks ahead, as BERT does: what it says of a token would have seen the token."""
    from transformers import DynamicCache

    with torch.inference_mode():
        read = model(input_ids=torch.tensor(_PROBES, device=model.device), use_cache=True)
    first, second = read.logits[:, 0].float()  # [V] each; nothing but the same token lies before
    tolerance = 1e-4 if model.dtype == torch.float32 else 2e-2
    if not torch.allclose(first, second, rtol=tolerance, atol=tolerance * float(first.abs().max())):
        raise SourceError(
            f"{folder} holds a {type(model).__name__} that looks ahead; expected a causal language model, which "
            "predicts the next token from those before it, such as GPT-2, Llama or Qwen"
        )
    if not isinstance(read.past_key_values, DynamicCache):
        raise SourceError(f"{folder} holds a {type(model).__name__}, which keeps no keys and values to be used again")


def _check_words(tokenizer: Any, model: Any, folder: Path) -> None:  # noqa: ANN401
    known = int(model.get_input_embeddings().num_embeddings)
    if len(tokenizer) > known:
        raise SourceError(
            f"the tokenizer in {folder} has {len(tokenizer)} tokens, and the model knows {known}; expected the "
            "tokenizer of this model"
        )
