"""Matrix factorisation without a vector of the user: so a new user is ranked for without training."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from distilrec.config import Settings
from distilrec.models.dropout import dropout
from distilrec.models.product_form import ProductForm
from distilrec.models.tables import IdTable

_INPUT_STD = 0.5


class MatrixFactorisationSettings(Settings):
    """The shape of an asymmetric matrix factorisation."""

    width: int = Field(64, ge=2)
    """Width of item and history vectors, D: the number of factors, and one more for the bias."""
    alpha: float = Field(0.5, ge=0, le=1)
    """How far a long history counts no more than a short one: 0 takes the sum of its items, 1 their mean."""
    tables: Literal["separate", "tied"] = "separate"
    """Whether an item of the history has factors of its own, or those by which it is ranked."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item factors of the history while training."""


class MatrixFactorisation(ProductForm):
    """A user is n ** -alpha times the sum of the factors of the n items so far.

    The asymmetric form of NSVD (Paterek 2007), SVD++ (Koren 2008) and FISM (Kabbur et al., KDD 2013). Classical
    factorisation learns a vector of each user, which a new user lacks. It knows no order; what it is to predict is
    never in its sum, as in FISM, since each position reads only what came before. The last number of an item's vector
    is its bias, and the last number of every history vector is one.
    """

    kind: ClassVar[str] = "matrix_factorisation"

    def __init__(self, settings: MatrixFactorisationSettings, n_items: int, *, table: nn.Module | None = None) -> None:
        super().__init__(n_items, settings.max_length)
        self.settings = settings
        self.inputs: IdTable | None = None
        if settings.tables == "separate":
            self.inputs = IdTable(n_items, settings.width - 1)
            nn.init.normal_(self.inputs.weight, std=_INPUT_STD)
        self.table = table if table is not None else IdTable(n_items, settings.width)

    def free_item_vectors(self) -> Tensor:
        """All but the biases, [N, D - 1]."""
        return super().free_item_vectors()[:, :-1]

    def input_vectors(self, item_vectors: Tensor) -> Tensor:
        """The factors of an item in a history, [N, D - 1]; where tables are tied, its item vector, [N, D]."""
        return item_vectors if self.inputs is None else self.inputs()

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of its input vectors, [B, L, D - 1 or D]."""
        factors = vectors[..., : self.settings.width - 1]  # [B, L, D - 1], without the bias of a tied one
        x = dropout(factors, self.settings.embedding_dropout, self.training)
        at = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=x.dtype)
        weights = torch.tril(at[:, None] ** -self.settings.alpha * torch.ones_like(at))  # [L, L]
        sums = weights @ x
        return torch.cat([sums, torch.ones_like(sums[..., :1])], dim=-1)
