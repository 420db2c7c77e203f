"""Two newer forms of the transformer's block: residual branches with gates, and attention without softmax."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.models.blocks import CausalBlock, at_newest
from distilrec.models.dropout import dropout


class GatedBlock(CausalBlock):
    """LiGR's block (Borisyuk et al. 2025): what comes in decides, unit by unit, how much each branch may add.

    x + sigmoid(x W) * F(norm(x)), for F the attention and then the feed-forward layer. The gates begin half open.
    """

    def __init__(
        self, width: int, *, heads: int, feedforward: int, dropout: float, head_width: int | None = None
    ) -> None:
        super().__init__(width, heads=heads, feedforward=feedforward, dropout=dropout, head_width=head_width)
        self.attention_gate = nn.Linear(width, width)
        self.feedforward_gate = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]"""
        attended = dropout(self._attend(self.attention_norm(x)), self.dropout, self.training)
        x = x + torch.sigmoid(self.attention_gate(x)) * attended
        fed = dropout(self._feed(self.feedforward_norm(x)), self.dropout, self.training)
        return x + torch.sigmoid(self.feedforward_gate(x)) * fed

    def newest(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The same at the newest position of each history, [B, L, D] and [B] -> [B, D]; not for training."""
        out = at_newest(x, lengths)
        out = out + torch.sigmoid(self.attention_gate(out)) * self._attend_newest(self.attention_norm(x), lengths)
        return out + torch.sigmoid(self.feedforward_gate(out)) * self._feed(self.feedforward_norm(out))


class PointwiseBlock(nn.Module):
    """HSTU's block (Zhai et al., ICML 2024): attention whose weights need not sum to one, and a gate instead of a
    feed-forward layer.

    U, V, Q, K = silu(norm(x) W); each head gives norm(silu(Q K^T + bias) V) * U, equations 1 to 3. The paper divides
    the weights by the length; the norm that comes next undoes that, but for the small number it adds, so it is left
    out. The bias is of the distance between two positions; the paper's bias by time is left out.
    """

    def __init__(self, width: int, *, heads: int, distances: int | None, dropout: float) -> None:
        """`distances` is how many positions a bias tells apart; none leaves it out."""
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.input_norm = nn.LayerNorm(width)
        self.gate_value_query_key = nn.Linear(width, 4 * width)
        self.distance_bias = nn.Parameter(torch.zeros(distances)) if distances is not None else None
        self.attended_norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]"""
        batch, length, width = x.shape
        gate, *parts = F.silu(self.gate_value_query_key(self.input_norm(x))).chunk(4, dim=2)
        value, query, key = (p.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for p in parts)
        attended = self._weights(query, key) @ value  # [B, heads, L, D / heads]
        attended = self.attended_norm(attended.transpose(1, 2).reshape(batch, length, width))
        added: Tensor = self.out(dropout(attended * gate, self.dropout, self.training))
        return x + added

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """silu(Q K^T + bias) of each position and those before it, [B, heads, L, L]."""
        scores = query @ key.transpose(2, 3)
        at = torch.arange(query.shape[2], device=query.device)
        ages = at[:, None] - at[None, :]  # [L, L], negative for what is still to come
        if self.distance_bias is not None:
            scores = scores + self.distance_bias[ages.clamp(min=0)].to(scores.dtype)
        return F.silu(scores).masked_fill(ages < 0, 0.0)
