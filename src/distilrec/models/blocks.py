"""Parts that more than one model is made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.models.dropout import dropout


class CausalBlock(nn.Module):
    """One pre-norm transformer block: each position sees itself and what came before.

    Source: Vaswani et al. 2017, normalised before each part as in Xiong et al. 2020. There is no padding mask:
    batches are padded on the right, where no real position looks.
    """

    def __init__(
        self, width: int, *, heads: int, feedforward: int, dropout: float, head_width: int | None = None
    ) -> None:
        """`head_width` is that of each head; without it the heads share the width."""
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.head_width = head_width or width // heads
        attended = heads * self.head_width
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * attended)
        self.attention_out = nn.Linear(attended, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward_in = nn.Linear(width, feedforward)
        self.feedforward_out = nn.Linear(feedforward, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]"""
        x = x + dropout(self._attend(self.attention_norm(x)), self.dropout, self.training)
        return x + dropout(self._feed(self.feedforward_norm(x)), self.dropout, self.training)

    def newest(self, x: Tensor, lengths: Tensor) -> Tensor:
        """What `forward` gives at the newest position of each history, [B, L, D] and [B] -> [B, D], for a third of the
        work: other positions are only attended to. Without dropout, so not for training."""
        out = at_newest(x, lengths) + self._attend_newest(self.attention_norm(x), lengths)
        return out + self._feed(self.feedforward_norm(out))

    def _attend_newest(self, x: Tensor, lengths: Tensor) -> Tensor:
        batch, length, _ = x.shape
        weights, biases, split = self.query_key_value.weight, self.query_key_value.bias, self.heads * self.head_width
        query = F.linear(at_newest(x, lengths), weights[:split], biases[:split])
        query = query.view(batch, self.heads, 1, self.head_width)
        both = F.linear(x, weights[split:], biases[split:]).view(batch, length, 2, self.heads, self.head_width)
        key, value = both.permute(2, 0, 3, 1, 4)  # each [B, heads, L, width of a head]
        scores = (query * self.head_width**-0.5) @ key.transpose(2, 3)  # [B, heads, 1, L]
        padded = torch.arange(length, device=x.device) >= lengths[:, None]  # [B, L]
        shares = torch.softmax(scores.masked_fill(padded[:, None, None], float("-inf")), dim=-1)
        attended: Tensor = self.attention_out((shares @ value).flatten(1))  # [B, D]
        return attended

    def _feed(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.feedforward_in(x))  # [B, L, feedforward]
        fed: Tensor = self.feedforward_out(dropout(hidden, self.dropout, self.training))
        return fed

    def _attend(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        split = self.query_key_value(x).view(batch, length, 3, self.heads, self.head_width)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each [B, heads, L, width of a head]
        mixed = causal_attention(query, key, value, self.dropout if self.training else 0.0)
        attended: Tensor = self.attention_out(mixed.transpose(1, 2).flatten(2))  # [B, L, D]
        return attended


def at_newest(x: Tensor, lengths: Tensor) -> Tensor:
    """[B, L, D] -> [B, D]"""
    return x[torch.arange(x.shape[0], device=x.device), lengths - 1]


def causal_attention(query: Tensor, key: Tensor, value: Tensor, dropped: float) -> Tensor:
    """What each position takes from itself and those before it; all [B, heads, L, width of a head].

    torch's fused form is slow on a processor when gradients are wanted, and draws its dropout slowly, so in training it
    is written out there.
    """
    if query.device.type != "cpu" or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropped, is_causal=True)
    return dropout(causal_shares(query, key), dropped, training=dropped > 0) @ value


def causal_shares(query: Tensor, key: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) over each position and those before it, [B, heads, L, L]."""
    length = query.shape[2]
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
    scores = (query * query.shape[3] ** -0.5) @ key.transpose(2, 3)
    return torch.softmax(scores.masked_fill_(future, float("-inf")), dim=-1)


def init_weights(module: nn.Module, *, std: float = 0.02) -> None:
    """Normal weights, zero biases, for linear layers and embeddings (BERT's scheme)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
