"""What is read of a batch while training, where reading all of it would cost too much.

All draws are from torch's own generator, so that its seed alone decides what a step of training sees.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distilrec.errors import SettingsError
from distilrec.types import IntArray

_CHUNK_ITEMS = 1024


class Sampler(nn.Module):
    """Draws positions of a batch, and the items that their targets are told apart from.

    Every target of a batch is a negative for the others, and beside each stand some of its nearest items, which are
    harder to tell from it than items by chance. Source: Karpukhin et al. 2020 for both kinds of negative.
    """

    neighbours: Tensor
    shares: Tensor | None

    def __init__(
        self, *, positions: int, hard_negatives: int, neighbours: IntArray, counts: IntArray | None = None
    ) -> None:
        """Fix what is drawn from.

        Args:
            positions: how many of each history are drawn.
            hard_negatives: how many items are drawn for each target.
            neighbours: the items that they are drawn from, [N, H]; see `nearest_items`.
            counts: how often each item is a target, [N]; none leaves the logits as they are (see `log_chances`).
        """
        super().__init__()
        if hard_negatives and not neighbours.shape[1]:
            raise SettingsError(f"hard_negatives is {hard_negatives}, but items have no neighbours; set it to 0")
        self.positions, self.hard_negatives = positions, hard_negatives
        # Buffers, so that a checkpoint of another sampler is known to be another model's.
        self.register_buffer("neighbours", torch.from_numpy(neighbours), persistent=False)
        shares = None if counts is None else self._shares(torch.from_numpy(counts))
        self.register_buffer("shares", shares, persistent=False)

    def draw_positions(self, allowed: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
        """Rows and places of some `allowed` [B, L] positions of each history, each [P']."""
        chances = np.where(allowed, torch.rand(allowed.shape).numpy(), -1.0)
        places = np.argsort(-chances, axis=1, kind="stable")[:, : self.positions]  # [B, positions]
        rows, drawn = np.nonzero(np.take_along_axis(allowed, places, axis=1))
        return rows, places[rows, drawn]

    def draw_candidates(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Targets and hard negatives, each item once `[M]`, and which of them is each position's target `[P']`."""
        distinct = torch.unique(targets)
        near = self.neighbours[distinct.to(self.neighbours.device)].cpu()  # [distinct, H]
        columns = torch.randint(max(1, near.shape[1]), (len(near), self.hard_negatives))
        candidates, places = torch.unique(torch.cat([targets, near.gather(1, columns).flatten()]), return_inverse=True)
        return candidates, places[: len(targets)]

    def log_chances(self, candidates: Tensor, positions: int) -> Tensor | None:
        """The logarithm of how likely each candidate was to be one, [M], when so many positions are drawn.

        Taken off their logits, popular items are not pushed down for standing in many batches. Source: Yi et al. 2019.
        """
        if self.shares is None:
            return None
        return torch.log(-torch.expm1(-positions * self.shares[candidates.to(self.shares.device)]))

    def _shares(self, counts: Tensor) -> Tensor:
        """How many times each item is expected among what one position draws, [N]."""
        targets = (counts + 1) / (counts + 1).sum()  # one more, since a share of 0 has no logarithm
        if not self.hard_negatives:
            return targets
        width = self.neighbours.shape[1]
        hard = torch.zeros_like(targets).index_add(0, self.neighbours.flatten(), targets.repeat_interleave(width))
        return targets + hard * (self.hard_negatives / width)


def nearest_items(vectors: Tensor, count: int) -> IntArray:
    """The rows of the items with the most similar unit vectors, best first, without the item itself, [N, H].

    H is `count`, or all others where the catalogue has fewer.
    """
    count = min(count, len(vectors) - 1)
    nearest = np.empty((len(vectors), count), dtype=np.int64)
    for start in range(0, len(vectors), _CHUNK_ITEMS):
        similar = vectors[start : start + _CHUNK_ITEMS] @ vectors.T  # [chunk, N]
        rows = torch.arange(len(similar), device=similar.device)
        similar[rows, start + rows] = -torch.inf
        nearest[start : start + _CHUNK_ITEMS] = similar.topk(count, dim=1).indices.cpu().numpy()
    return nearest
