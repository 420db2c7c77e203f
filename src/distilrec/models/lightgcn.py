"""LightGCN: item vectors smoothed over the graph of users and items. He et al., SIGIR 2020."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from distilrec.config import Settings
from distilrec.models.checks import check_sequences
from distilrec.models.dropout import dropout
from distilrec.models.product_form import ProductForm, as_arrays
from distilrec.models.tables import IdTable
from distilrec.types import Ragged


class LightGCNSettings(Settings):
    """The shape of a graph recommender."""

    width: int = Field(64, ge=1)
    """Width of item and history vectors, D."""
    layers: int = Field(1, ge=0)
    """Rounds of smoothing, from items to their users and back: one is two of the paper's layers."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    half_life: float | None = Field(1.0, gt=0)
    """After how many newer items an item of the history counts half; with none, all count the same."""
    projection: bool = True
    """Whether history vectors go through a learnt square matrix, so that what follows an item need not be what comes
    before it. The paper has none."""
    edge_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the graph's edges left out of each training step; a step's own answers are among its edges."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item vectors of the history while training."""


class LightGCN(ProductForm):
    """A history is the mean of its items' vectors, which are smoothed over who used what.

    The paper learns a vector for each user as well. Here a user is what one step of the graph makes of the items in
    the history, as in the inductive forms of Ragesh et al. 2021 (CF-LGCN) and Wu et al., SIGIR 2022 (INMO): so any
    history can be ranked for, and each position of it. With user vectors of zero at the start, two of the paper's
    layers are one product of the item table with the normalised item-by-item matrix; `layers` counts these.

    What a training position is to predict is itself an edge of the graph, in the paper too. `edge_dropout` is the
    remedy where that over-fits.
    """

    kind: ClassVar[str] = "lightgcn"
    reads_windows: ClassVar[bool] = True

    def __init__(
        self,
        settings: LightGCNSettings,
        sequences: Ragged | None = None,
        *,
        n_items: int,
        table: nn.Module | None = None,
    ) -> None:
        """A model to be trained on the graph of `sequences`; without them the table is taken as smoothed already."""
        super().__init__(n_items, settings.max_length)
        self.settings = settings
        self.graph = ItemGraph(sequences, n_items) if sequences is not None else None
        self.table = table if table is not None else IdTable(n_items, settings.width)
        self.projection = nn.Linear(settings.width, settings.width, bias=False) if settings.projection else None
        if self.projection is not None:
            nn.init.eye_(self.projection.weight)  # it starts as the model without it

    def item_vectors(self) -> Tensor:
        """Every item's vector, the mean over all rounds of smoothing, [N, D]."""
        return self._smoothed(self.settings.edge_dropout if self.training else 0.0)

    def _smoothed(self, edge_dropout: float) -> Tensor:
        vectors: Tensor = self.table()
        if self.graph is None:
            return vectors
        rounds, edges = [vectors.float()], self.graph.drop_edges(edge_dropout)
        for _ in range(self.settings.layers):
            rounds.append(self.graph(rounds[-1], edges))
        return torch.stack(rounds).mean(dim=0)

    def read(self, vectors: Tensor) -> Tensor:
        """The mean of the newest `max_length` items up to each position, [B, L, D]; there may be more positions.

        With a half-life, recent items count more.
        """
        x = dropout(vectors, self.settings.embedding_dropout, self.training)
        means = self._shares(x.shape[1], x.device) @ x
        return means if self.projection is None else self.projection(means)

    def _shares(self, length: int, device: torch.device) -> Tensor:
        """How much each item counts at each position, [L, L]; rows sum to one."""
        at = torch.arange(length, device=device)
        ages = at[:, None] - at[None, :]  # [L, L], negative for what is still to come
        half_life = self.settings.half_life
        weights = torch.ones(length, length, device=device) if half_life is None else 0.5 ** (ages / half_life)
        weights = torch.where((ages >= 0) & (ages < self.max_length), weights, 0.0)
        return weights / weights.sum(dim=1, keepdim=True)

    def state(self) -> dict[str, np.ndarray[Any, Any]]:
        """The smoothed item table and the projection: all that is needed to rank."""
        tensors = {"table.weight": self._smoothed(edge_dropout=0.0)}
        if self.projection is not None:
            tensors["projection.weight"] = self.projection.weight
        return as_arrays(tensors)


class ItemGraph(nn.Module):
    """Who used what, as edges between users and items; a user who had an item twice has one edge to it.

    One round is A^T A times the item table, A being the user-by-item matrix with each edge divided by the root of both
    its ends' numbers of edges. It is worked out in two steps over the edges: the item-by-item matrix has many more
    entries (eleven times as many on Amazon Beauty and on ML-1M). Sums over edges are torch's embedding bags, which
    are as fast as its sparse matrices and not in beta.
    """

    items: Tensor  # [E], the item of each edge, user after user
    users: Tensor  # [E], the user of each edge, item after item
    by_item: Tensor  # [E], where each edge of `users` is among `items`
    user_offsets: Tensor  # [users + 1], where each user's edges begin in `items`
    item_offsets: Tensor  # [N + 1], where each item's edges begin in `users`

    def __init__(self, sequences: Ragged, n_items: int) -> None:
        super().__init__()
        check_sequences(sequences, n_items)
        owners = np.repeat(np.arange(len(sequences)), sequences.lengths)
        edges = np.unique(owners * n_items + sequences.values)  # user after user
        users, items = edges // n_items, edges % n_items
        by_item = np.argsort(items, kind="stable")
        arrays = {
            "items": items,
            "users": users[by_item],
            "by_item": by_item,
            "user_offsets": _offsets(users, len(sequences)),
            "item_offsets": _offsets(items, n_items),
        }
        for name, array in arrays.items():  # half the bytes of int64, up to twice as fast
            self.register_buffer(name, torch.from_numpy(array.astype(np.int32)), persistent=False)

    def forward(self, vectors: Tensor, edges: Tensor | None = None) -> Tensor:
        """One round, [N, D] -> [N, D]; `edges` are weights of the edges by user, [E]."""
        smoothed: Tensor = _Smooth.apply(vectors, self, edges)  # type: ignore[no-untyped-call]
        return smoothed

    def drop_edges(self, share: float) -> Tensor | None:
        """Weights of the edges with a share of them zero and the others larger, so that sums stay as they are."""
        if share == 0:
            return None
        return dropout(torch.ones(len(self.items), device=self.items.device), share, training=True)

    def smooth(self, vectors: Tensor, edges: Tensor | None) -> Tensor:
        """The round itself; its matrix is symmetric, so gradients take the same way."""
        user_edges, item_edges = self.user_offsets.diff(), self.item_offsets.diff()
        scale = item_edges.clamp(min=1).rsqrt()[:, None]  # [N, 1]
        mirrored = None if edges is None else edges[self.by_item]
        of_users = _sums(vectors * scale, self.items, self.user_offsets, edges)  # [users, D]
        of_users = of_users / user_edges.clamp(min=1)[:, None]
        return scale * _sums(of_users, self.users, self.item_offsets, mirrored)  # [N, D]


class _Smooth(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, graph: ItemGraph, edges: Tensor | None) -> Tensor:  # noqa: ANN401
        ctx.graph, ctx.edges = graph, edges
        return graph.smooth(vectors, edges)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return ctx.graph.smooth(gradient, ctx.edges), None, None


def _sums(vectors: Tensor, rows: Tensor, offsets: Tensor, weights: Tensor | None) -> Tensor:
    """Sums of the chosen rows, offset to offset."""
    return F.embedding_bag(rows, vectors, offsets, mode="sum", include_last_offset=True, per_sample_weights=weights)


def _offsets(owners: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    return np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))])
