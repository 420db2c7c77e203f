"""Two towers: one network makes a vector of the pooled history, another of each item."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.config import Settings
from distilrec.models.dropout import dropout
from distilrec.models.product_form import Arrays, ProductForm, as_free, load_arrays, table_of
from distilrec.models.tables import IdTable


class TwoTowerSettings(Settings):
    """The shape of a two-tower recommender."""

    width: int = Field(64, ge=1)
    """Width of item and history vectors, D."""
    hidden_ratio: float = Field(2.0, gt=0)
    """Width of each tower's hidden layer, as a multiple of the width."""
    hidden: int | None = Field(None, ge=1)
    """Width of each tower's hidden layer, where units were pruned; none takes the ratio."""
    half_life: float = Field(1.0, gt=0)
    """After how many newer items an item counts half in the recency-weighted mean."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped in the history tower while training. The item tower drops none, so that its finished
    table is what was trained."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item vectors of the history while training."""


class TwoTower(ProductForm):
    """The two towers of Covington et al. 2016 and Yi et al. 2019, over the history instead of a user's features.

    The history tower reads two means of the items up to each position, a plain one and one in which recent items
    count more. What it makes of them is added to the second mean with a learnt scale that starts at zero (ReZero,
    Bachlechner et al. 2020): where one table goes in and out, it is best to begin with the items themselves. What is
    pooled are the finished vectors that the item tower gives, so one table ships and the item
    tower stays behind: a folded model has none.
    """

    kind: ClassVar[str] = "two_tower"

    def __init__(self, settings: TwoTowerSettings, n_items: int, *, table: nn.Module | None = None) -> None:
        super().__init__(n_items, settings.max_length)
        self.settings = settings
        hidden = settings.hidden or max(1, round(settings.width * settings.hidden_ratio))
        self.pooled_norm = nn.LayerNorm(2 * settings.width)
        self.history_in = nn.Linear(2 * settings.width, hidden)
        self.history_out = nn.Linear(hidden, settings.width)
        self.scale = nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(settings.width)
        self.table: nn.Module = ItemTower(
            table if table is not None else IdTable(n_items, settings.width), settings.width, hidden
        )

    def free_item_vectors(self) -> Tensor:
        """What goes into the item tower, [N, D]."""
        return as_free(self.table.table if isinstance(self.table, ItemTower) else self.table)

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of the history's item vectors, [B, L, D]."""
        x = dropout(vectors, self.settings.embedding_dropout, self.training)  # [B, L, D]
        plain, recent = self._pool(x)
        pooled = self.pooled_norm(torch.cat([plain, recent], dim=-1))  # [B, L, 2 D]
        hidden = dropout(F.relu(self.history_in(pooled)), self.settings.dropout, self.training)  # [B, L, hidden]
        normed: Tensor = self.norm(recent + self.scale * self.history_out(hidden))
        return normed

    def _pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of what came up to each position, and that with recent items counting more, each [B, L, D]."""
        at = torch.arange(x.shape[1], device=x.device)
        ages = at[:, None] - at[None, :]  # [L, L], negative for what is still to come
        recent = 0.5 ** (ages.clamp(min=0) / self.settings.half_life)
        shares = torch.stack([torch.ones_like(recent), recent]).where(ages >= 0, 0.0)  # [2, L, L]
        shares = shares / shares.sum(dim=2, keepdim=True)
        return shares[0] @ x, shares[1] @ x

    @classmethod
    def from_state(cls, settings: TwoTowerSettings, state: Arrays) -> Self:
        """Rebuild a folded model, which has a finished table instead of an item tower."""
        model = cls(settings, n_items=len(table_of(state)))
        model.table = IdTable(model.n_items, settings.width)
        load_arrays(model, state)
        return model.eval()


class ItemTower(nn.Module):
    """An item's vector with what a network makes of it added; that is nothing to begin with.

    So a table that starts as the teacher's is the teacher's.
    """

    def __init__(self, table: nn.Module, width: int, hidden: int) -> None:
        super().__init__()
        self.table = table
        self.norm = nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self) -> Tensor:
        """Every item's vector, [N, D]."""
        vectors: Tensor = self.table()
        added: Tensor = self.out(F.relu(self.into(self.norm(vectors))))
        return vectors + added
