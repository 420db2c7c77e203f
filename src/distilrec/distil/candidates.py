"""Which items a batch is compared with, where the catalogue is too large to compare it with all of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor

from distilrec.config import Settings
from distilrec.distil.losses.lists import gather_logits
from distilrec.distil.losses.sampled import Candidates
from distilrec.errors import SettingsError
from distilrec.mixture.parts import SoftLabels, SoftLists, SoftPart

_CHUNK_ITEMS = 2048
_ROWS_AT_ONCE = 512
_BLOCK = 16  # items whose best is looked at first; it and a chunk are powers of 2


class CandidateSettings(Settings):
    """How many items stand for the catalogue at each position, and of which kinds.

    For large catalogues. Up to about 25,000 items the loss over the whole catalogue is faster, and exact; of 100,000
    this one takes a fifth of its time (measured on one core, 1,280 positions).
    """

    teacher_top: int = Field(50, ge=0)
    """The teacher's best items of each position; of a mixture, so many of each part."""
    student_top: int = Field(20, ge=0)
    """The student's own best items: those that it ranks too high are pushed down at once."""
    random: int = Field(2000, ge=1)
    """Items drawn anew for each batch, which stand for all that are not listed."""
    rows_scored: int = Field(128, ge=1)
    """Positions of a batch where the student scores every item to find its best. The others choose theirs from what
    these found and what the teacher listed."""


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

    Lists of a teacher are taken as they are. A teacher given as factors is compared with every item at every position,
    which costs more than the rest of a step: of a million items, about a millisecond a position. Where an epoch is not
    to pay that each time, keep its lists.

    Args:
        history_vectors: student, `[P, D]`.
        item_vectors: student, `[N, D]`.
        soft_labels: what the teacher says of the same positions.
        generator: of the random items; without one they depend on torch's own seed.
        precision: of the products with every item.
    """
    n_positions, n_items = len(history_vectors), len(item_vectors)
    found = [torch.empty((n_positions, 0), dtype=torch.int64, device=item_vectors.device)]
    for part in soft_labels if settings.teacher_top else ():
        best = _teacher_best(part, min(settings.teacher_top, n_items), precision)
        found.append(best if part.rows is None else _among(best, part.rows, n_positions))
    listed = torch.cat(found, dim=1)  # [P, K]
    if settings.student_top:
        k = min(settings.student_top, n_items)
        own = _student_best(history_vectors, item_vectors, listed, k, settings.rows_scored, precision)
        listed = torch.cat([listed, own], dim=1)
    device = generator.device if generator is not None else item_vectors.device
    drawn = torch.randperm(n_items, generator=generator, device=device)[: settings.random]
    return Candidates(_narrowed(listed), drawn.to(item_vectors.device))


@torch.no_grad()
def best_items(
    history_vectors: Tensor, item_vectors: Tensor, k: int, *, precision: torch.dtype = torch.float32
) -> Tensor:
    """The k best items of each position, best first, `[P, k]`, for catalogues that are too large for `top_items`.

    A few positions at a time meet a few items at a time, and only the best of every block of items is kept: the k best
    items are in the k blocks whose best are highest. In bfloat16 an item about as good as the last ones may be missed.
    """
    if not 1 <= k <= len(item_vectors):
        raise SettingsError(f"k is {k}; expected 1 to the catalogue's {len(item_vectors)} items")
    item_vectors = item_vectors.float()
    maxima = _block_maxima(history_vectors.to(precision), item_vectors)
    together = zip(torch.split(history_vectors, _ROWS_AT_ONCE), torch.split(maxima, _ROWS_AT_ONCE), strict=True)
    return torch.cat([_best_in_blocks(history, item_vectors, highest, k) for history, highest in together])


def _block_maxima(history: Tensor, items: Tensor) -> Tensor:
    """The highest score in each block of items, in the precision of the histories, [P, blocks]."""
    n_blocks, chunks = _CHUNK_ITEMS // _BLOCK, -(-len(items) // _CHUNK_ITEMS)
    scores = history.new_empty((min(_ROWS_AT_ONCE, len(history)), _CHUNK_ITEMS))
    maxima = history.new_empty((len(history), chunks * n_blocks))
    for chunk in range(chunks):
        part = items[chunk * _CHUNK_ITEMS : (chunk + 1) * _CHUNK_ITEMS].to(history.dtype)
        for start in range(0, len(history), _ROWS_AT_ONCE):
            rows = slice(start, min(start + _ROWS_AT_ONCE, len(history)))
            highest = scores[: rows.stop - start]
            torch.mm(history[rows], part.T, out=highest[:, : len(part)])
            highest[:, len(part) :] = -math.inf
            while highest.shape[1] > n_blocks:
                highest = torch.maximum(*highest.chunk(2, dim=1))
            maxima[rows, chunk * n_blocks : (chunk + 1) * n_blocks] = highest
    return maxima


def _best_in_blocks(history: Tensor, items: Tensor, maxima: Tensor, k: int) -> Tensor:
    """The k best items of a few positions, [S, k]; block b of a chunk is its items b, b + n_blocks, and so on."""
    n_blocks = _CHUNK_ITEMS // _BLOCK
    blocks = maxima.topk(min(k, maxima.shape[1]), dim=1, sorted=False).indices  # [S, k]
    within = torch.arange(0, _CHUNK_ITEMS, n_blocks, device=items.device)
    chosen = (blocks // n_blocks * _CHUNK_ITEMS + blocks % n_blocks)[:, :, None] + within
    chosen = chosen.flatten(1)  # [S, k * _BLOCK], some of them beyond the last item
    beyond = chosen >= len(items)
    logits = gather_logits(history, items, chosen.masked_fill(beyond, -1)).masked_fill_(beyond, -math.inf)
    return chosen.gather(1, logits.topk(k, dim=1).indices)


def _student_best(
    history: Tensor, items: Tensor, listed: Tensor, k: int, rows_scored: int, precision: torch.dtype
) -> Tensor:
    """The best of all items at some positions, evenly spaced over the batch; of a pool at the others: [P, k]."""
    count = len(history)
    rows = torch.linspace(0, max(count - 1, 0), min(rows_scored, count), device=history.device).long()
    exact = best_items(history[rows], items, k, precision=precision)  # [rows scored, k]
    if len(rows) == count:
        return exact
    pool: Tensor = torch.unique(torch.cat([exact.flatten(), listed[listed >= 0]]))
    best = pool[best_items(history, items[pool], k, precision=precision)]  # [P, k]
    return best.index_copy_(0, rows, exact)


def _teacher_best(part: SoftPart, k: int, precision: torch.dtype) -> Tensor:
    """A part's best items at its own positions, [R, at most k], -1 after the end of a list."""
    if isinstance(part, SoftLabels):
        return best_items(part.history_vectors, part.item_vectors, k, precision=precision)
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
