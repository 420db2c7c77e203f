"""Which items a batch is compared with, where the catalogue is too large to compare it with all of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from distilrec.config import Settings
from distilrec.distil.losses.lists import gather_logits, top_items
from distilrec.distil.losses.sampled import Candidates
from distilrec.distil.soft_labels import SoftLabels, SoftLists, SoftPart
from distilrec.errors import SettingsError

_CHUNK_ITEMS = 8192
_BLOCK = 32  # items whose best is looked at first


class CandidateSettings(Settings):
    """How many items stand for the catalogue at each position, and of which kinds.

    For catalogues of more than about 100,000 items. Below, the loss over the whole catalogue is as fast, and exact.
    """

    teacher_top: int = Field(50, ge=0)
    """The teacher's best items of each position; of a mixture, so many of each part."""
    student_top: int = Field(20, ge=0)
    """The student's own best items: those that it ranks too high are pushed down at once."""
    random: int = Field(2000, ge=1)
    """Items drawn anew for each batch, which stand for all that are not listed."""
    rows_scored: int = Field(128, ge=1)
    """Positions of a batch that are compared with every item to find the best; the others choose from what these
    found. More cost time in proportion."""


@torch.no_grad()
def choose_candidates(
    history_vectors: Tensor,
    item_vectors: Tensor,
    *,
    settings: CandidateSettings,
    soft_labels: Sequence[SoftPart] = (),
    generator: torch.Generator | None = None,
    precision: torch.dtype = torch.float32,
) -> Candidates:
    """The teacher's best items and the student's own for each position, and random ones for all.

    Args:
        history_vectors: student, `[P, D]`.
        item_vectors: student, `[N, D]`.
        soft_labels: what the teacher says of the same positions; its lists are taken as they are.
        generator: of the random items; without one they depend on torch's own seed.
        precision: of the products with every item.

    Best items of vectors are exact at `rows_scored` positions, evenly spaced over the batch. Any other position takes
    its best from all that those found, so it depends on its own history, or one like it, being among them. A loss on
    these candidates stays sound whatever the lists miss: it has more noise.
    """
    n_positions, n_items = len(history_vectors), len(item_vectors)
    found = [history_vectors.new_zeros((n_positions, 0), dtype=torch.int64)]
    for part in soft_labels if settings.teacher_top else ():
        best = _teacher_best(part, min(settings.teacher_top, n_items), settings.rows_scored, precision)
        found.append(best if part.rows is None else _among(best, part.rows, n_positions))
    if settings.student_top:
        k = min(settings.student_top, n_items)
        found.append(
            best_items(history_vectors, item_vectors, k, rows_scored=settings.rows_scored, precision=precision)
        )
    device = generator.device if generator is not None else item_vectors.device
    drawn = torch.randperm(n_items, generator=generator, device=device)[: settings.random]
    return Candidates(_narrowed(torch.cat(found, dim=1)), drawn.to(item_vectors.device))


@torch.no_grad()
def best_items(
    history_vectors: Tensor,
    item_vectors: Tensor,
    k: int,
    *,
    rows_scored: int,
    precision: torch.dtype = torch.float32,
) -> Tensor:
    """About the k best items of each position, `[P, k]`: the best at `rows_scored` of them, of those at all others.

    In bfloat16 an item that is about as good as the last ones may be missed.
    """
    if not 1 <= k <= len(item_vectors):
        raise SettingsError(f"k is {k}; expected 1 to the catalogue's {len(item_vectors)} items")
    count = len(history_vectors)
    rows = torch.linspace(0, max(count - 1, 0), min(rows_scored, count), device=history_vectors.device).long()
    exact = _best_of_all(history_vectors[rows], item_vectors, k, precision)  # [S, k]
    if len(rows) == count:
        return exact
    pool: Tensor = torch.unique(exact)
    best: Tensor = pool[top_items(history_vectors, item_vectors[pool], k)]  # [P, k]
    best[rows] = exact
    return best


def _best_of_all(history: Tensor, items: Tensor, k: int, precision: torch.dtype) -> Tensor:
    """The k best, [S, k], for few positions and many items: the items go by in chunks.

    The k best items are in the k blocks whose best are highest; a block is `_BLOCK` items of a chunk, far apart.
    """
    n_items, n_blocks = len(items), _CHUNK_ITEMS // _BLOCK
    narrow = history.to(precision)
    scores = narrow.new_full((len(history), _CHUNK_ITEMS), -math.inf)
    maxima = []
    for start in range(0, n_items, _CHUNK_ITEMS):
        part = items[start : start + _CHUNK_ITEMS].to(precision)
        scores[:, len(part) :] = -math.inf
        torch.mm(narrow, part.T, out=scores[:, : len(part)])
        maxima.append(scores.view(len(history), _BLOCK, n_blocks).amax(dim=1))
    highest = torch.cat(maxima, dim=1)
    blocks = highest.topk(min(k, highest.shape[1]), dim=1, sorted=False).indices
    within = torch.arange(0, _CHUNK_ITEMS, n_blocks, device=items.device)
    chosen = (blocks // n_blocks * _CHUNK_ITEMS + blocks % n_blocks)[:, :, None] + within
    chosen = chosen.flatten(1)  # [S, k * _BLOCK], some beyond the last item
    beyond = chosen >= n_items
    exact = gather_logits(history, items, chosen.masked_fill(beyond, -1)).masked_fill_(beyond, -math.inf)
    return chosen.gather(1, exact.topk(k, dim=1).indices)


def _teacher_best(part: SoftPart, k: int, rows_scored: int, precision: torch.dtype) -> Tensor:
    """A part's best items at its own positions, [R, at most k], -1 after the end of a list."""
    if isinstance(part, SoftLabels):
        return best_items(part.history_vectors, part.item_vectors, k, rows_scored=rows_scored, precision=precision)
    if not isinstance(part, SoftLists):
        return part.logits.topk(k, dim=1, sorted=False).indices
    if part.items.shape[1] <= k:
        return part.items
    logits = part.logits.masked_fill(part.items < 0, -math.inf)
    return part.items.gather(1, logits.topk(k, dim=1, sorted=False).indices)


def _among(best: Tensor, rows: Tensor, n_positions: int) -> Tensor:
    """The lists of some positions as lists of all, [P, k]; empty where there is none."""
    return best.new_full((n_positions, best.shape[1]), -1).index_copy_(0, rows, best)


def _narrowed(listed: Tensor) -> Tensor:
    """Without the columns that no position needs: teachers of different positions share them."""
    most = int((listed >= 0).sum(dim=1).max()) if listed.numel() else 0
    return listed if most == listed.shape[1] else listed.sort(dim=1, descending=True).values[:, :most]
