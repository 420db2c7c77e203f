"""A recurrent network over the history, GRU or LSTM, that can also be fed one item at a time."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.config import Settings
from distilrec.encode.processor import takes_bf16
from distilrec.models.checks import check_next
from distilrec.models.dropout import dropout
from distilrec.models.product_form import ProductForm
from distilrec.models.tables import IdTable


class GRUSettings(Settings):
    """The shape of a recurrent recommender."""

    width: int = Field(64, ge=1)
    """Width of item and history vectors, D."""
    cell: Literal["gru", "lstm"] = "gru"
    """Gated recurrent units, or long short-term memory: a third more weights, yet two to three times as fast to train
    on a processor with bfloat16."""
    layers: int = Field(1, ge=1)
    """How many recurrent layers, one upon the other."""
    hidden: int | None = Field(None, ge=1)
    """Width of each layer, which a last matrix then takes back to D; with none it is D, and there is no such matrix."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped after each layer while training."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item vectors of the history while training."""


class GRU(ProductForm):
    """GRU4Rec's form (Hidasi et al., ICLR 2016) with one item table in and out.

    Item vectors are normalised on their way in, since they start near zero, and history vectors on their way out. What
    the layers make of a history is added to its newest item's vector with a learnt scale that starts at zero (ReZero,
    Bachlechner et al. 2020): where one table goes in and out, it is best to begin with the items themselves.

    `start` and `update` give the same vectors an item at a time, at a cost that does not grow with the history; they
    never forget that it was long, where `history_vectors` reads the newest `max_length` items afresh.
    """

    kind: ClassVar[str] = "gru"

    def __init__(self, settings: GRUSettings, n_items: int, *, table: nn.Module | None = None) -> None:
        super().__init__(n_items, settings.max_length)
        self.settings = settings
        self.hidden = settings.hidden or settings.width
        self.input_norm = nn.LayerNorm(settings.width)
        widths = [settings.width] + [self.hidden] * (settings.layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(settings.cell, width, self.hidden) for width in widths)
        self.out = nn.Linear(self.hidden, settings.width) if settings.hidden else None
        self.scale = nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(settings.width)
        self.table = table if table is not None else IdTable(n_items, settings.width)

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of the history's item vectors, [B, L, D]."""
        newest = dropout(vectors, self.settings.embedding_dropout, self.training)  # [B, L, D]
        x = self.input_norm(newest)
        for layer in self.layers:
            x = dropout(layer(x), self.settings.dropout, self.training)  # [B, L, hidden]
        return self._finish(newest, x)

    def start(self, n: int) -> Tensor:
        """The state before `n` histories begin, [n, layers, hidden], or twice as wide for an LSTM."""
        parts = 2 if self.settings.cell == "lstm" else 1
        return self.norm.weight.new_zeros(n, len(self.layers), parts * self.hidden)

    def update(self, state: Tensor, items: Tensor, item_vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The state after one more item of each history, and what the user wants next, [B, D]; nothing is dropped."""
        check_next(items.cpu().numpy(), len(state), len(item_vectors))
        return self.step(state, F.embedding(items, item_vectors))

    def step(self, state: Tensor, newest: Tensor) -> tuple[Tensor, Tensor]:
        """The same of item vectors, [B, D]: tensors alone, unchecked."""
        x, states = self.input_norm(newest), []
        for layer, before in zip(self.layers, state.unbind(1), strict=True):
            x, after = cast(RecurrentLayer, layer).step(x, before)
            states.append(after)
        return torch.stack(states, dim=1), self._finish(newest, x)

    def _finish(self, newest: Tensor, x: Tensor) -> Tensor:
        added = x if self.out is None else self.out(x)  # [..., D]
        normed: Tensor = self.norm(newest + self.scale * added)
        return normed


class RecurrentLayer(nn.Module):
    """One layer of torch's own cells, over whole histories or a step at a time."""

    def __init__(self, cell: Literal["gru", "lstm"], width: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTM(width, hidden) if cell == "lstm" else nn.GRU(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, hidden]"""
        if torch.compiler.is_exporting():
            return self._as_operator(x)
        if isinstance(self.cell, nn.LSTM) and takes_bf16("auto", x.device.type):
            return self._over_time(x)  # oneDNN has it, fused, and three times as fast; elsewhere it refuses bfloat16
        # A GRU's steps torch multiplies one by one; there, casts to bfloat16 cost a fifth more than they gain. Steps
        # and gradients written out by hand took a fifth off the whole model's time: not worth sixty lines.
        with torch.autocast(x.device.type, enabled=False):
            return self._over_time(x.float())

    def _over_time(self, x: Tensor) -> Tensor:
        states: Tensor = self.cell(x.transpose(0, 1))[0]  # [L, B, hidden]
        return states.transpose(0, 1)

    def _as_operator(self, x: Tensor) -> Tensor:
        """The same as ONNX's own operator, which goes over histories of any length; torch would unroll one length."""
        order = (1, 0, 2) if isinstance(self.cell, nn.GRU) else (0, 3, 1, 2)  # of gates: ONNX has z r n, and i o f c
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        inner, outer, *biases = (_in_order(cast(Tensor, getattr(self.cell, name)), order) for name in names)
        attributes: dict[str, Any] = {"hidden_size": self.cell.hidden_size}
        if isinstance(self.cell, nn.GRU):
            attributes["linear_before_reset"] = 1
        found: Tensor = torch.onnx.ops.symbolic(
            type(self.cell).__name__,
            (x.transpose(0, 1), inner[None], outer[None], torch.cat(biases)[None]),
            attrs=attributes,
            dtype=x.dtype,
            shape=(x.shape[1], 1, x.shape[0], self.cell.hidden_size),
        )  # [L, 1, B, hidden]
        return found[:, 0].transpose(0, 1)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What comes out of one step, [B, hidden], and the state after it, [B, hidden or twice that]."""
        if isinstance(self.cell, nn.GRU):
            after = self.cell(x[None], state[None])[1][0]
            return after, after
        before = tuple(part.contiguous() for part in state[None].chunk(2, dim=2))  # each [1, B, hidden]
        out, (hidden, memory) = self.cell(x[None], before)
        return out[0], torch.cat([hidden[0], memory[0]], dim=1)


def _in_order(part: Tensor, order: tuple[int, ...]) -> Tensor:
    """A cell's weights or biases with its gates in another order, [gates * hidden, ...]."""
    return part.view(len(order), -1, *part.shape[1:])[list(order)].flatten(0, 1)
