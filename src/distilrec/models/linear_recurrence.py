"""A gated linear recurrence over the history: trained almost as a feed-forward network is, served an item at a time."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from distilrec.config import Settings
from distilrec.models.blocks import init_weights
from distilrec.models.checks import check_next, check_per_block
from distilrec.models.dropout import dropout
from distilrec.models.product_form import ProductForm
from distilrec.models.tables import IdTable


class LinearRecurrenceSettings(Settings):
    """The shape of a linear recurrence."""

    width: int = Field(64, ge=1)
    """Width of item and history vectors, D."""
    blocks: int = Field(1, ge=1)
    """How many blocks, each a recurrence and a feed-forward layer."""
    state_ratio: float = Field(2.0, gt=0)
    """Width of the state, H, as a multiple of the width."""
    feedforward_ratio: float = Field(1.0, gt=0)
    """Width of the hidden feed-forward layer, as a multiple of the width."""
    state: int | None = Field(None, ge=1)
    """Width of each block's state, where units were pruned; none takes the ratio."""
    feedforward_widths: tuple[int, ...] | None = None
    """Widths of the blocks' hidden feed-forward layers one by one, where units were pruned; none takes the ratio."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped inside the blocks while training."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item vectors of the history while training."""


class LinearRecurrence(ProductForm):
    """LRURec's form (Yue et al., WSDM 2024), with the recurrence of minGRU (Feng et al. 2024) in it.

    LRURec forgets at fixed rates, by complex numbers. Here the item that comes decides for each channel how much is
    forgotten, and all is real: simpler, and as good in Griffin (De et al. 2024). Blocks are normalised first, as
    the transformer's are, but what they add is scaled by learnt numbers that start at zero (ReZero, Bachlechner et al.
    2020): where one table goes in and out, it is best to begin with the items themselves.

    `start` and `update` give the same vectors an item at a time, at a cost that does not grow with the history; they
    never forget that it was long, where `history_vectors` reads the newest `max_length` items afresh.
    """

    kind: ClassVar[str] = "linear_recurrence"

    def __init__(self, settings: LinearRecurrenceSettings, n_items: int, *, table: nn.Module | None = None) -> None:
        super().__init__(n_items, settings.max_length)
        check_per_block(settings, settings.blocks)
        self.settings = settings
        self.blocks = nn.ModuleList(RecurrentBlock(settings, at) for at in range(settings.blocks))
        self.norm = nn.LayerNorm(settings.width)
        self.table = table if table is not None else IdTable(n_items, settings.width)

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of the history's item vectors, [B, L, D]."""
        x = dropout(vectors, self.settings.embedding_dropout, self.training)  # [B, L, D]
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed

    def start(self, n: int) -> Tensor:
        """The state before `n` histories begin, [n, blocks, H]."""
        return self.norm.weight.new_zeros(n, len(self.blocks), _width_of_state(self.settings))

    def update(self, state: Tensor, items: Tensor, item_vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The state after one more item of each history, and what the user wants next, [B, D]; nothing is dropped."""
        check_next(items.cpu().numpy(), len(state), len(item_vectors))
        return self.step(state, F.embedding(items, item_vectors))

    def step(self, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same of item vectors, [B, D]: tensors alone, unchecked."""
        states = []
        for block, before in zip(self.blocks, state.unbind(1), strict=True):
            x, after = cast(RecurrentBlock, block).step(x, before)
            states.append(after)
        return torch.stack(states, dim=1), self.norm(x)


class RecurrentBlock(nn.Module):
    """One pre-norm block: a recurrence along the history, and a feed-forward layer at each position.

    With v and z made of the item that comes, h_t = (1 - z_t) h_{t-1} + z_t v_t, z_t between 0 and 1: each channel is
    a moving average that the items themselves speed up and slow down (minGRU, equation 3 of Feng et al. 2024).
    """

    def __init__(self, settings: LinearRecurrenceSettings, at: int = 0) -> None:
        super().__init__()
        width, state, self.dropout = settings.width, _width_of_state(settings), settings.dropout
        left = settings.feedforward_widths
        hidden = left[at] if left else max(1, round(width * settings.feedforward_ratio))
        self.recurrence_norm = nn.LayerNorm(width)
        self.value, self.gate = nn.Linear(width, state), nn.Linear(width, state)
        self.recurrence_out = nn.Linear(state, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward_in, self.feedforward_out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.recurrence_scale, self.feedforward_scale = (nn.Parameter(torch.zeros(1)) for _ in range(2))
        self.apply(init_weights)
        with torch.no_grad():  # averages over 2 to `max_length` items to begin with, as in Tallec and Ollivier 2018
            spans = torch.logspace(1, torch.tensor(max(2.0, settings.max_length)).log2().item(), state, base=2.0)
            self.gate.bias.copy_(-torch.log(spans - 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]"""
        normed = self.recurrence_norm(x)
        states = moving_average(self.value(normed), torch.sigmoid(self.gate(normed)))  # [B, L, H]
        return self._rest(x, states)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One position, [B, D], and the state before it, [B, H]: what comes out, and the state after it."""
        normed = self.recurrence_norm(x)
        state = torch.lerp(state, self.value(normed), torch.sigmoid(self.gate(normed)))
        return self._rest(x, state), state

    def _rest(self, x: Tensor, states: Tensor) -> Tensor:
        x = x + self.recurrence_scale * dropout(self.recurrence_out(states), self.dropout, self.training)
        hidden = F.gelu(self.feedforward_in(self.feedforward_norm(x)))
        hidden = dropout(hidden, self.dropout, self.training)
        return x + self.feedforward_scale * dropout(self.feedforward_out(hidden), self.dropout, self.training)


def moving_average(values: Tensor, shares: Tensor) -> Tensor:
    """h_t = (1 - shares_t) h_{t-1} + shares_t values_t from h = 0, at each position; all [B, L, H], in float32.

    One step is one small operation over [B, H], far less than the products around it, so there is no parallel scan:
    on a processor it would do more work.
    """
    if torch.compiler.is_exporting():
        return _averages_at_once(values, shares)
    if not torch.is_grad_enabled():
        return _averages(values.float(), shares.float())
    states: Tensor = _MovingAverage.apply(values.float(), shares.float())  # type: ignore[no-untyped-call]
    return states


def _averages(values: Tensor, shares: Tensor) -> Tensor:
    states = [values[:, 0] * shares[:, 0]]
    for step in range(1, values.shape[1]):
        states.append(torch.lerp(states[-1], values[:, step], shares[:, step]))
    return torch.stack(states, dim=1)


def _averages_at_once(values: Tensor, shares: Tensor) -> Tensor:
    """The same without a loop, whose length a graph would fix: the share of item s in h_t is z_s times what all items
    after it up to t leave over. Products of what is left over are sums of logarithms."""
    left = (1 - shares).clamp_min(torch.finfo(shares.dtype).tiny).log().cumsum(dim=1)  # [B, L, H]
    at = torch.arange(shares.shape[1], device=shares.device)
    earlier = (at[:, None] >= at).to(values.dtype)[..., None]  # [L, L, 1]
    # the difference is above 0 only for later items, which count 0
    kept = (left[:, :, None] - left[:, None]).clamp_max(0).exp() * earlier  # [B, L, L, H]
    return (kept * (shares * values)[:, None]).sum(dim=2)


class _MovingAverage(torch.autograd.Function):
    """The gradient of a linear recurrence is one too, backwards in time; by hand it takes one operation a step."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, shares: Tensor) -> Tensor:  # noqa: ANN401  (autograd gives it no public type)
        states = _averages(values, shares)
        ctx.save_for_backward(values, shares, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        values, shares, states = ctx.saved_tensors
        of_values, of_shares = torch.empty_like(values), torch.empty_like(shares)
        later: Tensor | float = 0.0  # what a state is owed for those after it, [B, H]
        for step in range(values.shape[1] - 1, -1, -1):
            total = gradient[:, step] + later
            change = values[:, step] - states[:, step - 1] if step else values[:, step]
            torch.mul(total, change, out=of_shares[:, step])
            later = total - torch.mul(total, shares[:, step], out=of_values[:, step])
        return of_values, of_shares


def _width_of_state(settings: LinearRecurrenceSettings) -> int:
    return settings.state or max(1, round(settings.width * settings.state_ratio))
