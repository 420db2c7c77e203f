"""Item tables: where the vector of an item comes from while a model is trained."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from distilrec.errors import SettingsError
from distilrec.types import FloatArray

_STD = 0.02


class IdTable(nn.Module):
    """One free vector for each item."""

    def __init__(self, n_items: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_items, width).normal_(std=_STD))  # [N, D]

    def forward(self) -> Tensor:
        """Every item's vector, [N, D]."""
        return self.weight


class ContentTable(nn.Module):
    """A projection of fixed content vectors (text, pictures, sound), plus a free part for each item.

    The free part holds what the content does not say: how popular an item is, who likes it, what it goes with.
    """

    def __init__(self, content: FloatArray, width: int, *, free: bool = True) -> None:
        super().__init__()
        if content.ndim != 2 or not len(content):
            raise SettingsError(f"content vectors have shape {content.shape}; expected [N, F]")
        if not np.isfinite(content).all():
            raise SettingsError("content vectors hold NaN or infinity; encode the catalogue again")
        self.register_buffer("content", torch.from_numpy(np.array(content, np.float32)), persistent=False)  # [N, F]
        self.project = nn.Linear(content.shape[1], width, bias=False)
        nn.init.normal_(self.project.weight, std=_STD)
        self.free = IdTable(len(content), width) if free else None

    def forward(self) -> Tensor:
        """Every item's vector, [N, D]."""
        vectors: Tensor = self.project(self.content)  # [N, D]
        return vectors if self.free is None else vectors + self.free()
