"""A pretrained language model that reads a history as a sequence of item vectors, where it used to read words."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.encode.processor import fast_bf16_flags
from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.models.body import Body, BodySettings, body_from_config
from distilrec.models.dropout import dropout
from distilrec.models.tables import IdTable
from distilrec.types import Batch, FloatArray


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


class ItemLanguageModel(nn.Module):
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
        super().__init__()
        if body is None:
            if settings.body_config is None:
                raise ArtifactError("the settings lack body_config, the configuration of the language model's body")
            body = body_from_config(settings.body_config)
        _check_length(settings.max_length, body)
        self.settings = settings.with_changes(body_config=body.config)
        self._n_items = n_items
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

    @property
    def n_items(self) -> int:
        """How many items are ranked, N."""
        return self._n_items

    @property
    def max_length(self) -> int:
        """How many of the newest items of a history are read, L."""
        return self.settings.max_length

    @property
    def n_parameters(self) -> int:
        """Numbers that are learnt, in pretraining or here."""
        return sum(parameter.numel() for parameter in self.parameters())

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """Those of the body, LoRA's included, which want a step size of their own; even if it began at random."""
        return list(self.body.parameters())

    def item_vectors(self) -> Tensor:
        """Every item's vector, [N, D]."""
        vectors: Tensor = self.table()
        return vectors

    def history_vectors(self, batch: Batch, item_vectors: Tensor) -> Tensor:
        """What the user wants next, after each position of each history, [B, L, D]."""
        _check_batch(batch, len(item_vectors), self.max_length)
        items = torch.from_numpy(batch.items).to(item_vectors.device)
        x = F.embedding(items, item_vectors)  # [B, L, D]
        x = self.project_in(dropout(x, self.settings.embedding_dropout, self.training))  # [B, L, H]
        normed: Tensor = self.norm(self.project_out(self._through_body(x)))  # [B, L, D]
        return normed

    def _through_body(self, x: Tensor) -> Tensor:
        """[B, L, H] -> [B, L, H]; in training, who trains decides about the precision."""
        outside = not self.training and _in_bfloat16(self.settings.precision, x.device)
        with torch.autocast(x.device.type, torch.bfloat16) if outside else nullcontext():
            hidden: Tensor = self.body(x)
        return hidden

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """History vectors of the real positions, flattened `[P, D]`, and item vectors `[N, D]`."""
        items = self.item_vectors()
        mask = torch.from_numpy(batch.mask).to(items.device)
        return self.history_vectors(batch, items)[mask], items

    @torch.inference_mode()
    def scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each history, [B, N]. An empty history is read as if it were item 0."""
        was_training = self.training
        self.eval()
        try:
            cut = batch.newest(self.max_length)
            items = self.item_vectors()
            last = torch.from_numpy(np.maximum(cut.lengths - 1, 0)).to(items.device)
            vectors = self.history_vectors(cut, items)[torch.arange(len(cut), device=items.device), last]  # [B, D]
            scores: FloatArray = (vectors @ items.T).float().cpu().numpy()
            return scores
        finally:
            self.train(was_training)

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """What a folded model needs to be rebuilt, as float32 arrays: LoRA is merged, the item table finished."""
        others = {name: value for name, value in self.state_dict().items() if not name.startswith(("table.", "body."))}
        body = {f"body.{name}": value for name, value in self.body.weights().items()}
        tensors = {**others, **body, "table.weight": self.item_vectors()}
        return {name: np.array(value.detach().cpu().float().numpy(), order="C") for name, value in tensors.items()}

    def fold(self) -> ItemLanguageModel:
        """The same model with its item table finished and without LoRA, so that nothing else is needed to rank."""
        return ItemLanguageModel.from_state(self.settings, self.state())

    @classmethod
    def from_state(cls, settings: ItemLanguageModelSettings, state: Mapping[str, np.ndarray[Any, Any]]) -> Self:
        """Rebuild a folded model; every array must be there, of the right shape and finite."""
        if "table.weight" not in state:
            raise ArtifactError("the weights lack table.weight, the item table")
        model = cls(settings, len(state["table.weight"]))
        wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        got = {name: value.shape for name, value in state.items()}
        if wanted != got:
            wrong = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
            told = "; ".join(f"{name}: expected {wanted.get(name)}, got {got.get(name)}" for name in wrong[:3])
            raise ArtifactError(f"the weights do not fit the settings: {told}")
        infinite = [name for name, value in state.items() if not np.isfinite(value).all()]
        if infinite:
            raise ArtifactError(f"the weights hold NaN or infinity in {', '.join(infinite)}")
        model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        return model.eval()


def _check_length(max_length: int, body: Body) -> None:
    if body.max_positions is not None and max_length > body.max_positions:
        raise SettingsError(
            f"max_length is {max_length}, but the body reads at most {body.max_positions} positions; lower max_length"
        )


def _check_batch(batch: Batch, n_items: int, max_length: int) -> None:
    if batch.items.shape[1] > max_length:
        raise SettingsError(f"histories have {batch.items.shape[1]} positions; expected at most {max_length}")
    lowest, highest = int(batch.items.min(initial=0)), int(batch.items.max(initial=0))
    if lowest < 0 or highest >= n_items:
        wrong = lowest if lowest < 0 else highest
        raise DataError(f"item {wrong} is outside the catalogue of {n_items} items (rows 0 to {n_items - 1})")


def _in_bfloat16(precision: str, device: torch.device) -> bool:
    if precision != "auto":
        return precision == "bfloat16"
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else bool(fast_bf16_flags())
