"""A pretrained language model that reads a history as a sequence of item vectors, where it used to read words."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from distilrec.encode.processor import takes_bf16
from distilrec.errors import ArtifactError, SettingsError
from distilrec.models.body import Body, BodySettings, body_from_config
from distilrec.models.dropout import dropout
from distilrec.models.product_form import ProductForm, as_arrays
from distilrec.models.tables import IdTable


class ItemLanguageModelSettings(BodySettings):
    """The shape of a recommender whose body is a pretrained language model."""

    width: int = Field(128, ge=1)
    """Width of item and history vectors, D."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item vectors of the history while training."""
    free: bool = True
    """Whether each item also has a free vector beside its text; without, unseen items rank as well as seen ones."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the body's matrix products outside of training; auto takes bfloat16 where the processor is good at it."""
    body_config: dict[str, Any] | None = None
    """The body's configuration as transformers writes it; building the model fills it in, and a saved model is rebuilt
    from it without the folder."""


class ItemLanguageModel(ProductForm):
    """Item vectors through the body of a language model: one item table in and out, the body in between.

    A linear layer gives item vectors the body's width and the spread of the words that it knows; another, with a norm,
    turns its hidden states into history vectors. Source: the language model's own weights as in Lu et al. 2022 (frozen
    pretrained transformers) and Li et al. 2023 (E4SRec), with the body fine-tuned and the catalogue ranked at every
    position.
    """

    kind: ClassVar[str] = "item_language_model"

    def __init__(
        self,
        settings: ItemLanguageModelSettings,
        n_items: int,
        *,
        body: Body | None = None,
        table: nn.Module | None = None,
    ) -> None:
        """Put a body and an item table together; without them, the body is random and each item has a free vector."""
        super().__init__(n_items, settings.max_length)
        if body is None:
            if settings.body_config is None:
                raise ArtifactError("the settings lack body_config, the configuration of the language model's body")
            body = body_from_config(settings.body_config)
        _check_length(settings.max_length, body)
        self.settings = settings.with_changes(body_config=body.config)
        self.table = table if table is not None else IdTable(n_items, settings.width)
        self.project_in = nn.Linear(settings.width, body.width)
        self.body = body
        self.project_out = nn.Linear(body.width, settings.width)
        self.norm = nn.LayerNorm(settings.width)
        self._start_like_words()

    @torch.no_grad()
    def _start_like_words(self) -> None:
        """Item vectors come into the body with the spread of words, so that what it learnt of words can hold."""
        std = self.item_vectors().std()
        nn.init.normal_(self.project_in.weight, std=float(self.body.word_std / (std * self.settings.width**0.5)))
        nn.init.zeros_(self.project_in.bias)
        nn.init.normal_(self.project_out.weight, std=self.body.width**-0.5)
        nn.init.zeros_(self.project_out.bias)

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Those of the body, LoRA's included, which want a step size of their own; even if it began at random."""
        return list(self.body.parameters())

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of the history's item vectors, [B, L, D]."""
        x = self.project_in(dropout(vectors, self.settings.embedding_dropout, self.training))  # [B, L, H]
        normed: Tensor = self.norm(self.project_out(self._through_body(x)))  # [B, L, D]
        return normed

    def _through_body(self, x: Tensor) -> Tensor:
        """[B, L, H] -> [B, L, H]; in training, who trains decides about the precision."""
        outside = not self.training and takes_bf16(self.settings.precision, x.device.type)
        with torch.autocast(x.device.type, torch.bfloat16) if outside else nullcontext():
            hidden: Tensor = self.body(x)
        return hidden

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """What a folded model needs to be rebuilt, as float32 arrays: LoRA is merged, the item table finished."""
        others = {name: value for name, value in self.state_dict().items() if not name.startswith(("table.", "body."))}
        body = {f"body.{name}": value for name, value in self.body.weights().items()}
        tensors = {**others, **body, "table.weight": self.item_vectors()}
        return as_arrays(tensors)


def _check_length(max_length: int, body: Body) -> None:
    if body.max_positions is not None and max_length > body.max_positions:
        raise SettingsError(
            f"max_length is {max_length}, but the body reads at most {body.max_positions} positions; lower max_length"
        )
