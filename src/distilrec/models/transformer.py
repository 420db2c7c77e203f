"""A causal transformer over the history: the student, and the body of the first teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.config import Settings
from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.models.blocks import CausalBlock, init_weights
from distilrec.models.dropout import dropout
from distilrec.models.tables import IdTable
from distilrec.types import Batch, FloatArray


class TransformerSettings(Settings):
    """The shape of a transformer recommender."""

    width: int = Field(64, ge=1)
    """Width of item and history vectors, D."""
    blocks: int = Field(1, ge=1)
    """How many transformer blocks."""
    heads: int = Field(1, ge=1)
    """Attention heads of each block; they share the width."""
    feedforward_ratio: float = Field(1.0, gt=0)
    """Width of the hidden feed-forward layer, as a multiple of the width."""
    positions: Literal["learnt", "none"] = "learnt"
    """Whether a vector for the place in the history is added; the causal attention tells an order without it too."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped inside the blocks while training."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item vectors of the history while training."""


class Transformer(nn.Module):
    """SASRec's form (Kang and McAuley 2018): one item table in and out, learnt positions, pre-norm causal blocks.

    Positions count from the oldest item that is read, so a prefix of a history looks the same in training, where
    every position predicts the next item, as when it is served.
    """

    kind: ClassVar[str] = "transformer"

    def __init__(self, settings: TransformerSettings, n_items: int, *, table: nn.Module | None = None) -> None:
        super().__init__()
        if settings.width % settings.heads:
            raise SettingsError(f"width {settings.width} does not divide by heads {settings.heads}")
        self.settings, self._n_items = settings, n_items
        learnt = settings.positions == "learnt"
        self.positions = nn.Embedding(settings.max_length, settings.width) if learnt else None
        hidden = max(1, round(settings.width * settings.feedforward_ratio))
        self.blocks = nn.ModuleList(
            CausalBlock(settings.width, heads=settings.heads, feedforward=hidden, dropout=settings.dropout)
            for _ in range(settings.blocks)
        )
        self.norm = nn.LayerNorm(settings.width)
        self.apply(init_weights)
        self.table = table if table is not None else IdTable(n_items, settings.width)

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
        """Numbers that are learnt."""
        return sum(parameter.numel() for parameter in self.parameters())

    def item_vectors(self) -> Tensor:
        """Every item's vector, [N, D]."""
        vectors: Tensor = self.table()
        return vectors

    def history_vectors(self, batch: Batch, item_vectors: Tensor) -> Tensor:
        """What the user wants next, after each position of each history, [B, L, D]."""
        _check_batch(batch, len(item_vectors), self.max_length)
        items = torch.from_numpy(batch.items).to(item_vectors.device)
        x = F.embedding(items, item_vectors)  # [B, L, D]
        if self.positions is not None:
            x = x + self.positions.weight[: items.shape[1]]
        x = dropout(x, self.settings.embedding_dropout, self.training)
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed

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
        """What a folded model needs to be rebuilt: the finished item table and the body, as float32 arrays."""
        tensors = {name: value for name, value in self.state_dict().items() if not name.startswith("table.")}
        tensors["table.weight"] = self.item_vectors().detach()
        return {name: np.array(value.cpu().float().numpy(), order="C") for name, value in tensors.items()}

    def fold(self) -> Transformer:
        """The same model with its item table finished, so that no content or projection is needed to rank."""
        return Transformer.from_state(self.settings, self.state())

    @classmethod
    def from_state(cls, settings: TransformerSettings, state: Mapping[str, np.ndarray[Any, Any]]) -> Self:
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


def _check_batch(batch: Batch, n_items: int, max_length: int) -> None:
    if batch.items.shape[1] > max_length:
        raise SettingsError(f"histories have {batch.items.shape[1]} positions; expected at most {max_length}")
    lowest, highest = int(batch.items.min(initial=0)), int(batch.items.max(initial=0))
    if lowest < 0 or highest >= n_items:
        wrong = lowest if lowest < 0 else highest
        raise DataError(f"item {wrong} is outside the catalogue of {n_items} items (rows 0 to {n_items - 1})")
