"""The body of a pretrained language model: vectors or words in, hidden states out.

What a language model has beside its blocks is left out: the head that names words, BERT's pooler, T5's decoder, and
where vectors are read, the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from distilrec.config import Settings
from distilrec.encode.folder import locate
from distilrec.errors import MissingExtraError, SettingsError
from distilrec.models.dropout import dropout
from distilrec.models.pretrained import FAMILIES, Family, build_random, load_pretrained, max_positions

_ADAPTER = "default"
_WORDS = ("wte", "embed_tokens", "embeddings.word_embeddings")


class BodySettings(Settings):
    """Which pretrained language model is taken, and what of it is trained."""

    body: str = "all-MiniLM-L6-v2"
    """Its folder, or its name on the Hugging Face hub."""
    start: Literal["pretrained", "random"] = "pretrained"
    """Whether its weights are used, or only its shape: what the weights are worth is seen by comparing the two."""
    fine_tune: Literal["all", "last", "lora", "none"] = "all"
    """What of it is trained: everything, the last blocks, low-rank additions to its attention, or nothing."""
    last_blocks: int = Field(2, ge=1)
    """How many blocks `last` means; a norm that comes after them is trained with them."""
    lora_rank: int = Field(8, ge=1)
    """Rank of what LoRA adds to each projection of the attention."""
    lora_alpha: float = Field(16.0, gt=0)
    """What is added is multiplied by this over the rank."""
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of units dropped before what is added, while training."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Share of units dropped inside the body while training; none keeps what its configuration says."""
    frozen_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number type of the body's weights where they are not trained (`lora`, `none`); bfloat16 halves their memory."""
    recompute: bool = False
    """Whether what happens inside a block is worked out again for the backward pass, instead of kept (gradient
    checkpointing): a third to a half more work for a fraction of the memory."""


class Body(nn.Module):
    """The blocks of a pretrained language model: vectors `[B, L, H]` (`forward`) or words (`read`) -> `[B, L, H]`.

    Vectors are read causally. Padding then needs no mask: it stands on the right, where no real position looks.
    Encoders (BERT, T5) were pretrained to look both ways, and learn here to do without what comes after.
    """

    def __init__(self, model: nn.Module, config: Mapping[str, Any], *, words: bool = False) -> None:
        """Take a model of transformers over, with its `words` or without; see `load_body` and `body_from_config`."""
        super().__init__()
        self.config = dict(config)
        self.model = getattr(model, "encoder", model) if hasattr(model, "shared") else model  # T5's encoder
        self.word_std = 0.0 if words else _drop_words(self.model)  # of the words left out
        if getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None
        _draw_dropout_fast(self.model)

    def forward(self, vectors: Tensor) -> Tensor:
        """Hidden states after the last block, [B, L, H], float32."""
        if not len(vectors):
            return vectors
        hidden: Tensor = self.model(inputs_embeds=vectors.to(self.dtype)).last_hidden_state
        return hidden.float()

    def read(self, tokens: Tensor, real: Tensor) -> Tensor:
        """Hidden states of words after the last block, [B, L] -> [B, L, H], float32; as pretrained, in one direction or
        both. Padding stands on the right, and `real` is False there, [B, L]."""
        mask = None if self._family.causal else real[:, None, None]  # [B, 1, 1, L]
        hidden: Tensor = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        return hidden.float()

    @property
    def width(self) -> int:
        """Width of what goes in and comes out, H."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]

    @property
    def max_positions(self) -> int | None:
        """How many positions it can read; none where there is no bound."""
        return max_positions(self.model.config)

    @property
    def dtype(self) -> torch.dtype:
        """Number type of its own weights."""
        return next(self.parameters()).dtype

    @property
    def blocks(self) -> nn.ModuleList:
        """Its transformer blocks, first to last."""
        blocks = self.model.get_submodule(self._family.blocks)
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    @property
    def _family(self) -> Family:
        return FAMILIES[self.config["model_type"]]

    def tune(self, settings: BodySettings) -> None:
        """Freeze what is not to be trained, and add what LoRA adds."""
        self.requires_grad_(settings.fine_tune == "all")
        if settings.fine_tune == "last":
            self._thaw_last(settings.last_blocks)
        if settings.fine_tune == "lora":
            self._add_lora(settings)
        if settings.recompute:
            for block in self.blocks:
                _recompute(block)

    def _thaw_last(self, count: int) -> None:
        if count > len(self.blocks):
            raise SettingsError(f"last_blocks is {count}, but the body has {len(self.blocks)} blocks")
        for block in self.blocks[-count:]:
            block.requires_grad_(True)
        for name in ("ln_f", "norm", "final_layer_norm"):
            if hasattr(self.model, name):
                getattr(self.model, name).requires_grad_(True)

    def _add_lora(self, settings: BodySettings) -> None:
        """Hu et al. 2021: each projection W becomes W + (alpha / rank) B A, of which only A and B are trained."""
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise MissingExtraError("peft", "train") from None
        lora = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=list(self._family.projections),
            fan_in_fan_out=self._family.in_by_out,
        )
        inject_adapter_in_model(lora, self.model, adapter_name=_ADAPTER)
        for parameter in self.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()  # peft makes them of the type of what they are added to
        _draw_dropout_fast(self.model)

    def weights(self) -> dict[str, Tensor]:
        """Every weight by its name in a body without LoRA, with what LoRA learnt added in."""
        plain = {
            name.replace(".base_layer.", "."): value
            for name, value in self.state_dict().items()
            if ".lora_" not in name
        }
        for name, module in self.named_modules():
            if hasattr(module, "get_delta_weight"):
                added = module.get_delta_weight(_ADAPTER)
                plain[f"{name}.weight"] = plain[f"{name}.weight"].float() + added.float()
        return plain


def load_body(settings: BodySettings, *, words: bool = False) -> Body:
    """A body from a folder, with its words or without, ready to be trained as the settings say.

    Random weights and what LoRA starts from are drawn from torch's own generator: seed that first.

    Raises:
        SourceError: the folder holds no model, or none that can be used.
    """
    frozen = settings.fine_tune in ("lora", "none")
    if settings.frozen_dtype == "bfloat16" and not frozen:
        raise SettingsError(
            f"frozen_dtype is bfloat16, but fine_tune is {settings.fine_tune!r}: steps would be lost in rounding. "
            "Take fine_tune 'lora' or 'none', or float32"
        )
    model, config = load_pretrained(
        locate(settings.body),
        random=settings.start == "random",
        share=settings.dropout,
        dtype=torch.bfloat16 if settings.frozen_dtype == "bfloat16" else torch.float32,
    )
    body = Body(model, config, words=words)
    body.tune(settings)
    return body


def body_from_config(config: Mapping[str, Any], *, words: bool = False) -> Body:
    """A body with random weights from the configuration of another, without any file."""
    return Body(build_random(config, words=words), config, words=words)


def _drop_words(model: nn.Module) -> float:
    """Leave out the table of words, and tell the standard deviation of its numbers."""
    for path in _WORDS:
        parent, _, name = path.rpartition(".")
        holder = getattr(model, parent, None) if parent else model
        table = getattr(holder, name, None)
        if table is not None:
            std = float(table.weight.detach().float().std())
            setattr(holder, name, None)
            return std
    raise AssertionError("a family without a known table of words")


def _recompute(block: nn.Module) -> None:
    """Keep only what goes into a block in training, and work the rest out again in the backward pass.

    transformers' own switch for this wants the table of words, which is not there any more.
    """
    plain = block.forward

    def forward(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if not (block.training and torch.is_grad_enabled()):
            return plain(*args, **kwargs)
        return checkpoint(plain, *args, use_reentrant=False, **kwargs)

    block.forward = forward


class _Dropout(nn.Dropout):
    """nn.Dropout by way of `models.dropout`, which is faster on a processor."""

    def forward(self, x: Tensor) -> Tensor:
        """As it is, but for a share of zeros while training."""
        return dropout(x, self.p, self.training)


def _draw_dropout_fast(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, _Dropout(child.p))
        else:
            _draw_dropout_fast(child)
