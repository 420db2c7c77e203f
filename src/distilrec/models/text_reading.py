"""Texts in tokens, read by a language model: one vector of unit length for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distilrec.models.body import Body
from distilrec.types import IntArray

Pooling = Literal["mean", "cls", "max", "lasttoken"]
_MOST_PADDING = 0.25
_FEWEST = 4  # rows that fill less than this part of a batch are not split


def read_texts(body: Body, texts: Sequence[IntArray], *, pooling: Pooling, token_budget: int) -> Tensor:
    """A unit vector for each text in the order given, [n, D]; zeros for a text without tokens.

    Texts of similar length go through the language model together, as many as have `token_budget` tokens. Which ones
    share a batch changes their vectors only by rounding.
    """
    device = next(body.parameters()).device
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    places = np.zeros(len(texts), dtype=np.int64)
    # It asks for gradients, so that there are some even where no text has a token.
    parts = [torch.zeros(1, body.width, device=device, requires_grad=torch.is_grad_enabled())]
    done = 1  # row 0 is for texts without tokens
    for rows in _similar_lengths(lengths, token_budget):
        parts.append(_read(body, [texts[row] for row in rows], pooling, device))
        places[rows] = np.arange(done, done + len(rows))
        done += len(rows)
    return torch.cat(parts)[torch.from_numpy(places).to(device)]


def _similar_lengths(lengths: IntArray, token_budget: int) -> Iterator[IntArray]:
    """Rows of similar length, the longest first, so that little is padded; empty ones are left out.

    A few rows are not split further: each batch costs a pass over the table of words for its gradient.
    """
    order = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    while len(order):
        longest = int(lengths[order[0]])
        rows = order[: max(1, token_budget // longest)]
        similar = np.count_nonzero(lengths[rows] >= (1 - _MOST_PADDING) * longest)
        rows = rows[: max(similar, token_budget // _FEWEST // longest)]
        yield rows
        order = order[len(rows) :]


def _read(body: Body, texts: list[IntArray], pooling: Pooling, device: torch.device) -> Tensor:
    """Unit vectors of texts that share a batch, [b, D]."""
    lengths = torch.tensor([len(text) for text in texts])
    real = torch.arange(int(lengths.max())) < lengths[:, None]  # [b, L]
    # Any token will do as padding, since no real one looks at it; where the model has one of its own, that.
    tokens = torch.full(real.shape, int(body.config.get("pad_token_id") or 0))  # [b, L]
    tokens[real] = torch.from_numpy(np.concatenate(texts))
    real, lengths = real.to(device), lengths.to(device)
    hidden = body.read(tokens.to(device), real)  # [b, L, D]
    return F.normalize(_pool(pooling, hidden, real, lengths), dim=-1)


def _pool(pooling: Pooling, hidden: Tensor, real: Tensor, lengths: Tensor) -> Tensor:
    """One vector of those of the real tokens, [b, L, D] -> [b, D]."""
    if pooling == "mean":
        return (hidden * real[:, :, None]).sum(dim=1) / lengths[:, None]
    if pooling == "max":
        return hidden.masked_fill(~real[:, :, None], float("-inf")).amax(dim=1)
    at = lengths - 1 if pooling == "lasttoken" else torch.zeros_like(lengths)
    return hidden[torch.arange(len(hidden), device=hidden.device), at]
