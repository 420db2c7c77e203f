"""What a model gives while it trains when ranking the whole catalogue at every step would cost too much."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class SampledVectors:
    """Vectors of some positions and of the items that they are told apart from: in-batch and hard negatives."""

    history_vectors: Tensor  # [P', D]
    item_vectors: Tensor  # [M, D], each item once
    targets: Tensor  # [P'], rows of item_vectors
