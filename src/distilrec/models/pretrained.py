"""The kinds of pretrained language model that are known here, and how one is built, with its own weights or without.

All of them get the same attention, which looks only backwards unless it is given a mask, so that encoders can be as
causal as decoders.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.encode.folder import read_object, transformer_folder
from distilrec.errors import ArtifactError, MissingExtraError, SourceError
from distilrec.models.dropout import dropout

_ATTENTION = "distilrec_causal"


@dataclass(frozen=True)
class Family:
    """What has another name in every family of models."""

    blocks: str
    """The path of the list of blocks."""
    projections: tuple[str, ...]
    """How the names of attention's projections end."""
    in_by_out: bool = False
    """Whether their weights are stored `[in, out]`."""
    positions_after_padding: bool = False
    """Whether positions count from the padding token's number."""
    causal: bool = False
    """Whether they were pretrained to look only backwards (decoders)."""


_BERT = ("encoder.layer", ("query", "key", "value", "attention.output.dense"))
_ROBERTA = Family(*_BERT, positions_after_padding=True)
_LLAMA = Family("layers", ("q_proj", "k_proj", "v_proj", "o_proj"), causal=True)
_T5 = Family("block", ("SelfAttention.q", "SelfAttention.k", "SelfAttention.v", "SelfAttention.o"))
FAMILIES = {
    "bert": Family(*_BERT),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": Family("transformer.layer", ("q_lin", "k_lin", "v_lin", "out_lin")),
    "gpt2": Family("h", ("attn.c_attn", "attn.c_proj"), in_by_out=True, causal=True),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "t5": _T5,
    "mt5": _T5,
    "umt5": _T5,
}
"""By the name that transformers gives to a type of model."""

_T5_TYPES = ("t5", "mt5", "umt5")  # encoder-decoders, whose encoder alone is used
_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob"),  # BERT
    *("dropout", "attention_dropout"),  # DistilBERT; Llama and its like have the second alone
    *("embd_pdrop", "resid_pdrop", "attn_pdrop"),  # GPT-2
    "dropout_rate",  # T5
)
_FEW = 16  # words of a table that is made only to be left out
_TOKENS = ("pad_token_id", "bos_token_id", "eos_token_id")
_NOT_SAID = ("_name_or_path", "architectures", "dtype", "id2label", "label2id", "transformers_version")
_FIXED = {"use_cache": False, "is_decoder": False, "add_cross_attention": False}


def load_pretrained(
    folder: Path, *, random: bool, share: float | None, dtype: torch.dtype
) -> tuple[nn.Module, dict[str, Any]]:
    """A language model from its folder, and its configuration; with `random`, only its shape is taken from there.

    Args:
        share: of units dropped while training; none keeps what the configuration says.

    Raises:
        SourceError: there is no model, only weights that can run code, or a model that cannot be used here.
    """
    place = transformer_folder(folder)
    kind = read_object(place / "config.json").get("model_type")
    if kind not in FAMILIES:
        raise SourceError(
            f"{place} holds a model of type {kind!r}; expected a language model of one of the types "
            f"{', '.join(FAMILIES)}"
        )
    config = _read_config(place, share)
    model = _from_config(config, dtype) if random else _with_weights(place, config, dtype)
    return model, _told(config)


def _with_weights(place: Path, config: Any, dtype: torch.dtype) -> nn.Module:  # noqa: ANN401
    with quietly():
        try:
            model, found = _maker(config).from_pretrained(
                place,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                attn_implementation=_causal_attention(),
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:  # its ways to refuse a folder
            raise SourceError(f"{place} cannot be loaded as a language model: {error}") from error
    lacking = sorted(name for name in found["missing_keys"] if "pooler" not in name)
    if lacking:
        told = ", ".join(lacking[:3])
        raise SourceError(f"the weights in {place} lack {told}; expected a whole {config.model_type} model")
    loaded: nn.Module = model
    return loaded


def build_random(config: Mapping[str, Any], *, words: bool = False) -> nn.Module:
    """A language model of a configuration that was told by `load_pretrained`, with random weights.

    It has its table of `words` only where they are wanted, and otherwise hardly any.
    """
    _require_transformers()
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ArtifactError(f"the body is of type {kind!r}; known: {', '.join(FAMILIES)}")
    changed = dict(config)
    if not words:
        outside = [name for name in _TOKENS if (config.get(name) or 0) >= _FEW]
        changed |= {"vocab_size": _FEW, **dict.fromkeys(outside)}
    del changed["model_type"]
    try:
        return _from_config(AutoConfig.for_model(str(kind), **changed), torch.float32)
    except (ValueError, TypeError, KeyError, StrictDataclassError) as error:
        raise ArtifactError(f"the body's configuration makes no sense to transformers: {error}") from None


def max_positions(config: Any) -> int | None:  # noqa: ANN401  (a configuration of transformers)
    """How many positions a model can tell apart and look back on; none where there is no bound."""
    most, window = getattr(config, "max_position_embeddings", None), getattr(config, "sliding_window", None)
    if most is not None and FAMILIES[config.model_type].positions_after_padding:
        most -= int(config.pad_token_id or 0) + 1
    known = [int(limit) for limit in (most, window) if limit is not None]
    return min(known) if known else None


def _read_config(folder: Path, share: float | None) -> Any:  # noqa: ANN401
    _require_transformers()
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise SourceError(f"{folder}/config.json cannot be read as a model's configuration: {error}") from error
    for name, value in _FIXED.items():
        if hasattr(config, name):
            setattr(config, name, value)
    for name in _DROPOUTS:
        if share is not None and hasattr(config, name):
            setattr(config, name, share)
    return config


def _told(config: Any) -> dict[str, Any]:  # noqa: ANN401
    """A configuration as JSON holds it, without what says nothing about the body."""
    told: dict[str, Any] = json.loads(json.dumps(config.to_dict()))
    return {name: value for name, value in told.items() if name not in _NOT_SAID}


def _maker(config: Any) -> Any:  # noqa: ANN401
    from transformers import AutoModel, AutoModelForTextEncoding

    return AutoModelForTextEncoding if config.model_type in _T5_TYPES else AutoModel


def _from_config(config: Any, dtype: torch.dtype) -> nn.Module:  # noqa: ANN401
    model: nn.Module = _maker(config).from_config(config, dtype=dtype, attn_implementation=_causal_attention())
    return model


def _causal_attention() -> str:
    """Make our attention known to transformers, and return the name that it has there."""
    from transformers import AttentionInterface

    AttentionInterface.register(_ATTENTION, _attend)
    return _ATTENTION


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **_: object,  # whatever else a model of transformers passes on
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: all [B, heads, L, width of a head] -> [B, L, heads, width of a head].

    A mask tells for each key whether it may be looked at, [B, 1, 1, L]; without one, each place sees itself and what
    comes before it. Transformers makes no mask for an attention that it does not know, and passes on one that has
    four dimensions.
    """
    groups = query.shape[1] // key.shape[1]  # heads that share a key and value
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.requires_grad and query.device.type == "cpu":
        mixed = _written_out(query * scale, key, value, dropout, position_bias, attention_mask)
    elif position_bias is None:
        mixed = F.scaled_dot_product_attention(
            query, key, value, attention_mask, dropout, is_causal=attention_mask is None, scale=scale
        )
    else:
        bias = position_bias.to(query.dtype).masked_fill(_hidden(query, attention_mask), float("-inf"))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout, scale=scale)
    return mixed.transpose(1, 2).contiguous(), None


def _written_out(
    query: Tensor, key: Tensor, value: Tensor, share: float, bias: Tensor | None, mask: Tensor | None
) -> Tensor:
    """The same, step by step: on a processor, torch's fused form draws dropout slowly, and its gradients take four
    times as long."""
    scores = query @ key.transpose(2, 3)  # [B, heads, L, L]
    scores = scores if bias is None else scores + bias
    shares = torch.softmax(scores.masked_fill(_hidden(query, mask), float("-inf")), dim=-1)
    return dropout(shares, share, training=True).to(value.dtype) @ value


def _hidden(query: Tensor, mask: Tensor | None) -> Tensor:
    """What may not be looked at, [B or 1, 1, L or 1, L]."""
    if mask is not None:
        return ~mask
    length = query.shape[2]
    return torch.ones(1, 1, length, length, dtype=torch.bool, device=query.device).triu(1)


def _require_transformers() -> None:
    try:
        import transformers  # noqa: F401
    except ImportError:
        raise MissingExtraError("transformers", "train") from None


@contextmanager
def quietly() -> Iterator[None]:
    """No bar and no table of unused weights while a model is read; the settings are put back."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
