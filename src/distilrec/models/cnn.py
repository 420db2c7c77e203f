"""Convolutions over the history: dilated ones that see far back, or Caser's filters over the newest few items."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from distilrec.config import Settings
from distilrec.models.dropout import dropout
from distilrec.models.product_form import ProductForm
from distilrec.models.tables import IdTable


class CNNSettings(Settings):
    """The shape of a convolutional recommender."""

    width: int = Field(64, ge=1)
    """Width of item and history vectors, D."""
    form: Literal["dilated", "caser"] = "dilated"
    """Dilated convolutions, which see far back, or Caser's filters, which see `window` items."""
    blocks: int = Field(2, ge=1)
    """Dilated: how many residual blocks of two convolutions; each block sees four times as far as the one before."""
    kernel: int = Field(3, ge=2)
    """Dilated: how many positions a convolution takes in."""
    window: int = Field(5, ge=1)
    """Caser: how many of the newest items are seen."""
    filters: int = Field(16, ge=1)
    """Caser: horizontal filters of each height from one item to the whole window."""
    vertical_filters: int = Field(4, ge=1)
    """Caser: vertical filters, each a weighted sum of the window's items."""
    max_length: int = Field(50, ge=1)
    """How many of the newest items of a history are read."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped at the end of each block, or of Caser's filters, while training."""
    embedding_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of units dropped from the item vectors of the history while training."""


class CNN(ProductForm):
    """Causal convolutions over the item vectors of the history; one item table in and out.

    Before a history begins there are zeros, so a prefix of a history looks the same in training as when it is served.
    """

    kind: ClassVar[str] = "cnn"

    def __init__(self, settings: CNNSettings, n_items: int, *, table: nn.Module | None = None) -> None:
        super().__init__(n_items, settings.max_length)
        self.settings = settings
        self.body: nn.Module = Caser(settings) if settings.form == "caser" else _dilated(settings)
        self.norm = nn.LayerNorm(settings.width)
        self.table = table if table is not None else IdTable(n_items, settings.width)

    def read(self, vectors: Tensor) -> Tensor:
        """What the user wants next, after each position, [B, L, D], of the history's item vectors, [B, L, D]."""
        x = dropout(vectors, self.settings.embedding_dropout, self.training)  # [B, L, D]
        normed: Tensor = self.norm(self.body(x))
        return normed


def _dilated(settings: CNNSettings) -> nn.Sequential:
    return nn.Sequential(*(DilatedBlock(settings, dilation=4**block) for block in range(settings.blocks)))


class DilatedBlock(nn.Module):
    """NextItNet's residual block (Yuan et al., WSDM 2019, figure 3b) of depthwise separable convolutions.

    Two convolutions, the second with twice the dilation, each normalised and rectified. A depthwise separable one
    (Chollet 2017) first mixes positions within each channel, then channels within each position: kernel + D weights
    for each channel instead of kernel x D. What a block adds is scaled by a learnt number that starts at zero, as in
    ReZero (Bachlechner et al. 2020): where one table goes in and out, it is best to begin with the items themselves.
    """

    def __init__(self, settings: CNNSettings, dilation: int) -> None:
        super().__init__()
        width, self.dropout = settings.width, settings.dropout
        self.depthwise = nn.ModuleList(
            CausalDepthwise(width, kernel=settings.kernel, dilation=step) for step in (dilation, 2 * dilation)
        )
        self.pointwise = nn.ModuleList(nn.Linear(width, width) for _ in self.depthwise)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.depthwise)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]"""
        hidden = x
        for depthwise, pointwise, norm in zip(self.depthwise, self.pointwise, self.norms, strict=True):
            hidden = F.relu(norm(pointwise(depthwise(hidden))))
        return x + self.scale * dropout(hidden, self.dropout, self.training)


class CausalDepthwise(nn.Module):
    """One filter for each channel, over each position and those `dilation` apart before it.

    In training the sequence is laid out in rows of `dilation` positions, so that a filter goes down a column and needs
    no dilation: on a processor up to twice as fast as sums of shifted products, and up to ten times as fast as a
    dilated `conv1d`. Such sums are what is ranked by: the fastest for one user, and of any length when exported.
    """

    def __init__(self, width: int, *, kernel: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(width, kernel))  # [D, kernel], the newest position last
        nn.init.uniform_(self.weight, -(kernel**-0.5), kernel**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]"""
        return self._by_rows(x) if self.training else self._by_shifts(x)

    def _by_rows(self, x: Tensor) -> Tensor:
        (width, kernel), length = self.weight.shape, x.shape[1]
        rows = (length + self.dilation - 1) // self.dilation
        after = rows * self.dilation - length
        padded = F.pad(x, (0, 0, (kernel - 1) * self.dilation, after))  # [B, (kernel - 1 + rows) * dilation, D]
        image = padded.view(len(x), kernel - 1 + rows, self.dilation, width).permute(0, 3, 1, 2)
        mixed = F.conv2d(image, self.weight[:, None, :, None], groups=width)  # [B, D, rows, dilation]
        return mixed.permute(0, 2, 3, 1).flatten(1, 2)[:, :length]

    def _by_shifts(self, x: Tensor) -> Tensor:
        kernel, length = self.weight.shape[1], x.shape[1]
        padded = F.pad(x, (0, 0, (kernel - 1) * self.dilation, 0))
        mixed = padded[:, :length] * self.weight[:, 0]
        for place in range(1, kernel):
            begin = place * self.dilation
            mixed = mixed + padded[:, begin : begin + length] * self.weight[:, place]
        return mixed


class Caser(nn.Module):
    """Caser's filters (Tang and Wang, WSDM 2018) over the newest `window` items, at every position.

    Horizontal filters span 1 to `window` neighbouring items; each gives its largest value within the window (equations
    4 to 6). Vertical filters are weighted sums over the window (equation 7). The paper looks at one window of a user
    and joins a vector of the user to it; here every position has a window of its own, and a user is the history alone.
    As what comes out meets the table that went in, it is not rectified, and is added to the newest item's vector with
    a learnt scale that starts at zero, as in the dilated form. Item vectors are normalised first, since they are small.
    """

    def __init__(self, settings: CNNSettings) -> None:
        super().__init__()
        width, window, filters = settings.width, settings.window, settings.filters
        self.window, self.filters, self.dropout = window, filters, settings.dropout
        self.norm = nn.LayerNorm(width)
        self.horizontal = nn.ParameterList(
            torch.empty(height * width, filters).uniform_(-((height * width) ** -0.5), (height * width) ** -0.5)
            for height in range(1, window + 1)
        )  # [height * D, filters] each
        self.horizontal_bias = nn.Parameter(torch.zeros(window * filters))
        self.vertical = nn.Parameter(
            torch.empty(settings.vertical_filters, window).uniform_(-(window**-0.5), window**-0.5)
        )  # [vertical filters, window], the newest item first
        self.out = nn.Linear(window * filters + settings.vertical_filters * width, width)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, L, D]"""
        normed = self.norm(x)
        found = [self._horizontal(normed), self._vertical(normed)]
        joined = dropout(torch.cat(found, dim=-1), self.dropout, self.training)
        added: Tensor = self.scale * self.out(joined)
        return x + added

    def _horizontal(self, x: Tensor) -> Tensor:
        """The largest value of each filter within the window, [B, L, window * filters].

        All filters are one matrix product, the short ones filled up with zeros: faster on a processor than a
        convolution for each height.
        """
        ends, window = x.shape[1] + self.window - 1, self.window  # a filter may end before the history begins
        padded = F.pad(x, (0, 0, 2 * window - 2, 0))
        stretches = torch.cat([padded[:, step : step + ends] for step in range(window)], dim=-1)  # [B, ends, window D]
        rows = window * x.shape[2]
        weights = torch.cat([F.pad(weight, (0, 0, rows - len(weight), 0)) for weight in self.horizontal], dim=1)
        values = torch.split(stretches @ weights, self.filters, dim=-1)  # for each height [B, ends, filters]
        best = [_sliding_max(value[:, shorter:], window - shorter) for shorter, value in enumerate(values)]
        return F.relu(torch.cat(best, dim=-1) + self.horizontal_bias)

    def _vertical(self, x: Tensor) -> Tensor:
        """Weighted sums over the window, [B, L, vertical filters * D], as one product with a banded matrix."""
        at = torch.arange(x.shape[1], device=x.device)
        ages = at[:, None] - at[None, :]  # [L, L], negative for what is still to come
        weights = self.vertical[:, ages.clamp(0, self.window - 1)]  # [vertical filters, L, L]
        weights = weights.where((ages >= 0) & (ages < self.window), 0.0)
        return torch.einsum("vts,bsd->btvd", weights, x).flatten(2)


def _sliding_max(x: Tensor, size: int) -> Tensor:
    """The largest of every `size` neighbours, [B, T, C] -> [B, T - size + 1, C]."""
    return F.max_pool2d(x.transpose(1, 2)[..., None], (size, 1), stride=1).squeeze(3).transpose(1, 2)
