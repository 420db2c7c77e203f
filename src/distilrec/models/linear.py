"""Softmax regression on the history: each item of it speaks for or against each item of the catalogue."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.models.dropout import dropout
from distilrec.models.product_form import ProductForm
from distilrec.models.tables import IdTable

_INPUT_STD = 0.5  # ahead of .02 and .2 after two epochs on Amazon Beauty


class LinearSettings(Settings):
    """The shape of a softmax regression."""

    width: int = Field(64, ge=2)
    """Width of item and history vectors, D: the rank of the weights, and one more for the bias."""
    decays: int = Field(4, ge=1)
    """Into how many parts the rank is divided, each with a learnt decay of its own: some forget fast, others slowly.
    An item counts half in the first after one newer item, in the second after two, then four, to begin with."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item factors of the history while training."""


class Linear(ProductForm):
    """Multinomial logistic regression of the next item on the items before it.

    logit(j) = bias(j) + sum over the history's items i, `age` items before the newest, of
    sum over parts p of decay_p ** age * <in_p(i), out_p(j)>.

    So the weight of i for j is a matrix of low rank, as in factorised Markov chains (FPMC, Rendle et al. 2010; Fossil,
    He and McAuley 2016), with memory that fades instead of an order that ends. The last number of an item's
    vector is its bias, and the last number of every history vector is one. `in` is a table of its own, as large as the
    other: what an item says of the future is not what the past says of it.
    """

    kind: ClassVar[str] = "linear"

    def __init__(self, settings: LinearSettings, n_items: int, *, table: nn.Module | None = None) -> None:
        super().__init__(n_items, settings.max_length)
        rank, parts = settings.width - 1, settings.decays
        if parts > rank:
            raise SettingsError(
                f"decays is {parts}, more than the rank {rank} (width {settings.width}, one of it for the bias); "
                "choose fewer decays or a larger width"
            )
        self.settings = settings
        self.inputs = IdTable(n_items, rank)
        nn.init.normal_(self.inputs.weight, std=_INPUT_STD)
        half_lives = 2.0 ** torch.arange(parts)
        self.decay_logits = nn.Parameter(-torch.log(2 ** (1 / half_lives) - 1))  # [parts]
        self.table = table if table is not None else IdTable(n_items, settings.width)

    def free_item_vectors(self) -> Tensor:
        """All but the biases, [N, D - 1]."""
        return super().free_item_vectors()[:, :-1]

    def input_vectors(self, item_vectors: Tensor) -> Tensor:
        """What each item says of the future, [N, D - 1]."""
        vectors: Tensor = self.inputs()
        return vectors

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of its input vectors, [B, L, D - 1]."""
        x = dropout(vectors, self.settings.embedding_dropout, self.training)
        parts = zip(self._weights(x.shape[1]), x.tensor_split(self.settings.decays, dim=-1), strict=True)
        sums = [weights @ part for weights, part in parts]
        return torch.cat([*sums, torch.ones_like(sums[0][..., :1])], dim=-1)

    def _weights(self, length: int) -> Tensor:
        """How much each item counts at each position, [parts, L, L]."""
        at = torch.arange(length, device=self.decay_logits.device)
        ages = at[:, None] - at[None, :]  # [L, L], negative for what is still to come
        weights = torch.exp(F.logsigmoid(self.decay_logits)[:, None, None] * ages.clamp(min=0))
        return weights.where(ages >= 0, 0.0)
