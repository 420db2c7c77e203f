"""A causal transformer over the history: the student, and the body of the first teacher."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from distilrec.config import Settings
from distilrec.errors import SettingsError
from distilrec.models.blocks import CausalBlock, init_weights
from distilrec.models.checks import check_per_block
from distilrec.models.dropout import dropout
from distilrec.models.gated_blocks import GatedBlock, PointwiseBlock
from distilrec.models.product_form import ProductForm
from distilrec.models.tables import IdTable


class TransformerSettings(Settings):
    """The shape of a transformer recommender."""

    width: int = Field(64, ge=1)
    """Width of item and history vectors, D."""
    blocks: int = Field(1, ge=1)
    """How many transformer blocks."""
    heads: int = Field(1, ge=1)
    """Attention heads of each block; they share the width."""
    block: Literal["sasrec", "ligr", "hstu"] = "sasrec"
    """SASRec's block, LiGR's with a gate on each branch, or HSTU's, which has no softmax and no feed-forward layer."""
    feedforward_ratio: float = Field(1.0, gt=0)
    """Width of the hidden feed-forward layer, as a multiple of the width; without meaning for HSTU's block."""
    feedforward_widths: tuple[int, ...] | None = None
    """Widths of the blocks' hidden layers one by one, where units were pruned; none takes the ratio."""
    block_heads: tuple[int, ...] | None = None
    """How many heads each block has left, where some were pruned, each as wide as the width over `heads`."""
    positions: Literal["learnt", "relative", "none"] = "learnt"
    """Whether a vector for the place in the history is added, or to attention a number for the distance, which HSTU's
    block alone has; the causal attention tells an order without either too."""
    input_norm: bool = False
    """Whether the vectors of the history are normalised before the first block, as BERT does: learns in half the epochs
    what is learnt without (on Beauty, alone), and ends no better."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped inside the blocks while training."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item vectors of the history while training."""


class Transformer(ProductForm):
    """SASRec's form (Kang and McAuley 2018): one item table in and out, learnt positions, pre-norm causal blocks.

    Positions count from the oldest item that is read, so a prefix of a history looks the same in training, where
    every position predicts the next item, as when it is served.
    """

    kind: ClassVar[str] = "transformer"

    def __init__(self, settings: TransformerSettings, n_items: int, *, table: nn.Module | None = None) -> None:
        super().__init__(n_items, settings.max_length)
        if settings.width % settings.heads:
            raise SettingsError(f"width {settings.width} does not divide by heads {settings.heads}")
        if settings.positions == "relative" and settings.block != "hstu":
            raise SettingsError(f"block {settings.block} knows no relative positions; choose learnt or none, or hstu")
        check_per_block(settings, settings.blocks)
        self.settings = settings
        if settings.block == "hstu" and (settings.feedforward_widths or settings.block_heads):
            raise SettingsError("block hstu has no feed-forward layer and keeps its heads; leave out what was pruned")
        learnt = settings.positions == "learnt"
        self.positions = nn.Embedding(settings.max_length, settings.width) if learnt else None
        self.input_norm = nn.LayerNorm(settings.width) if settings.input_norm else None
        self.blocks = nn.ModuleList(_block(settings, at) for at in range(settings.blocks))
        self.norm = nn.LayerNorm(settings.width)
        self.apply(init_weights)
        self.table = table if table is not None else IdTable(n_items, settings.width)

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of the history's item vectors, [B, L, D]."""
        x = self._placed(vectors)
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed

    def read_newest(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """The same after the newest item of each history, which the last block works out alone where it can."""
        last = self.blocks[-1]
        if not isinstance(last, CausalBlock) or self.training:
            return super().read_newest(vectors, lengths)
        x = self._placed(vectors)
        for block in self.blocks[:-1]:
            x = block(x)
        normed: Tensor = self.norm(last.newest(x, lengths))
        return normed

    def _placed(self, vectors: Tensor) -> Tensor:
        """Vectors that tell their place, where that is learnt, [B, L, D]."""
        x = vectors if self.positions is None else vectors + self.positions.weight[: vectors.shape[1]]
        x = x if self.input_norm is None else self.input_norm(x)
        return dropout(x, self.settings.embedding_dropout, self.training)


def _block(settings: TransformerSettings, at: int) -> nn.Module:
    width, heads, share = settings.width, settings.heads, settings.dropout
    if settings.block == "hstu":
        distances = settings.max_length if settings.positions == "relative" else None
        return PointwiseBlock(width, heads=heads, distances=distances, dropout=share)
    form = GatedBlock if settings.block == "ligr" else CausalBlock
    hidden = settings.feedforward_widths[at] if settings.feedforward_widths else None
    return form(
        width,
        heads=settings.block_heads[at] if settings.block_heads else heads,
        head_width=width // heads,
        feedforward=hidden or max(1, round(width * settings.feedforward_ratio)),
        dropout=share,
    )
