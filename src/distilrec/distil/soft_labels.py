"""A teacher's soft labels as tensors, and the probabilities of its mixture for a few positions at a time.

The same three forms as in `knowledge.labels`, on the device that trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distilrec.distil.losses.shares import DenseShares, ListedShares, Shares
from distilrec.errors import SettingsError

_LIST_SHARES = 1 << 22


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """A teacher's logits for the whole catalogue, as the two factors whose product they are."""

    history_vectors: Tensor  # [R, D_teacher]
    item_vectors: Tensor  # [N, D_teacher]
    rows: Tensor | None = None  # [R], ascending: which of the P positions; none means all of them
    weight: float = 1.0  # share in a mixture, relative to its other parts
    temperature: float = 1.0  # the teacher's own, that its logits are divided by

    @property
    def n_items(self) -> int:
        """Items that are ranked, N."""
        return len(self.item_vectors)

    def __len__(self) -> int:
        return len(self.history_vectors)


@dataclass(frozen=True, eq=False)
class SoftLists:
    """A teacher's best items, their logits, and the log-sum-exp of all its logits."""

    items: Tensor  # [R, K], -1 after the end of a list
    logits: Tensor  # [R, K]
    log_sums: Tensor  # [R]
    rows: Tensor | None = None
    weight: float = 1.0

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, eq=False)
class SoftLogits:
    """A teacher's logits for the whole catalogue, as they are."""

    logits: Tensor  # [R, N]
    rows: Tensor | None = None
    weight: float = 1.0
    temperature: float = 1.0

    @property
    def n_items(self) -> int:
        """Items that are ranked, N."""
        return self.logits.shape[1]

    def __len__(self) -> int:
        return len(self.logits)


SoftPart = SoftLabels | SoftLists | SoftLogits


class Teacher:
    """A mixture of parts, ready to be asked for the probabilities of any stretch of positions."""

    def __init__(
        self, parts: Sequence[SoftPart], n_positions: int, n_items: int, temperature: float, precision: torch.dtype
    ) -> None:
        self._n_positions, self._n_items = n_positions, n_items
        self._temperature, self._precision = temperature, precision
        self._parts = [_at(part, temperature, precision) for part in parts]
        self._alone = len(parts) == 1 and parts[0].rows is None and not isinstance(parts[0], SoftLists)
        only = parts[0] if len(parts) == 1 and parts[0].rows is None else None
        self._lists = only if isinstance(only, SoftLists) else None
        self._weights = None if self._alone else self._summed_weights()  # [P]

    @property
    def n_covered(self) -> int:
        """Positions that at least one part speaks of."""
        return self._n_positions if self._weights is None else int((self._weights > 0).sum())

    def chunk(self, begin: int, end: int, *, dense: bool) -> Shares:
        """Of positions `begin` to `end`; a single list stays one unless it is to be `dense`."""
        if dense or self._lists is None:
            return DenseShares(*self.shares(begin, end))
        part = self._lists
        chosen = SoftLists(part.items[begin:end], part.logits[begin:end], part.log_sums[begin:end])
        return listed_shares(chosen, self._n_items, self._temperature)

    def shares(self, begin: int, end: int) -> tuple[Tensor, Tensor | None]:
        """Probabilities of positions `begin` to `end`, [c, N], and 1 where anything is known, [c]; None: everywhere."""
        if self._weights is None:
            return self._probabilities(self._parts[0], begin, end), None
        total = self._weights.new_zeros((end - begin, self._n_items), dtype=self._precision)
        for part in self._parts:
            first, last, rows = begin, end, None
            if part.rows is not None:
                first, last = (int(torch.searchsorted(part.rows, edge)) for edge in (begin, end))
                rows = part.rows[first:last] - begin
            if first < last:
                shares = self._probabilities(part, first, last).mul_(part.weight)
                total = total.add_(shares) if rows is None else total.index_add_(0, rows, shares)
        weights = self._weights[begin:end]
        covered = weights > 0
        return total.div_(torch.where(covered, weights, 1)[:, None].to(total.dtype)), covered.float()

    def lists(self, k: int) -> SoftLists:
        """The k best items of every position, best first, as log-probabilities; empty where nothing is known."""
        step = max(1, _LIST_SHARES // self._n_items)
        items, logits = [], []
        for begin in range(0, self._n_positions, step):
            shares, covered = self.shares(begin, min(begin + step, self._n_positions))
            best = torch.topk(shares, min(k, self._n_items), dim=1)  # [c, K]
            known = torch.ones(len(shares), 1, device=shares.device) if covered is None else covered[:, None]
            items.append(torch.where(known > 0, best.indices, -1))
            logits.append(best.values.float().clamp(min=torch.finfo(torch.float32).tiny).log())
        joined = torch.cat(logits)
        return SoftLists(torch.cat(items), joined, joined.new_zeros(len(joined)))

    def log_shares(self, items: Tensor, *, unknown: float = 0.0) -> Tensor:
        """Log-probabilities of any items, [P, K]; `unknown` for item -1 and where nothing is known."""
        step, found = max(1, _LIST_SHARES // self._n_items), []
        for begin in range(0, self._n_positions, step):
            chosen = items[begin : begin + step]
            shares, covered = self.shares(begin, begin + len(chosen))
            own = shares.gather(1, chosen.clamp(min=0)).float().clamp(min=torch.finfo(torch.float32).tiny).log()
            known = chosen >= 0 if covered is None else (chosen >= 0) & (covered > 0)[:, None]
            found.append(torch.where(known, own, unknown))
        return torch.cat(found) if found else items.float()

    def _probabilities(self, part: SoftPart, first: int, last: int) -> Tensor:
        """Of a part's own rows, [last - first, N]."""
        if isinstance(part, SoftLabels):
            return torch.softmax(part.history_vectors[first:last] @ part.item_vectors.T, dim=1)
        if isinstance(part, SoftLogits):
            return torch.softmax(part.logits[first:last], dim=1).to(self._precision)
        chosen = SoftLists(part.items[first:last], part.logits[first:last], part.log_sums[first:last])
        return spread_lists(chosen, self._n_items, self._temperature).to(self._precision)

    def _summed_weights(self) -> Tensor:
        """Of the parts that speak of each position, [P]."""
        total = torch.zeros(self._n_positions, device=_device(self._parts[0]))
        for part in self._parts:
            rows = torch.arange(self._n_positions, device=total.device) if part.rows is None else part.rows
            known = (part.items >= 0).any(dim=1).float() if isinstance(part, SoftLists) else 1.0
            total.index_add_(0, rows, torch.ones(len(part), device=total.device) * known * part.weight)
        return total


def spread_lists(lists: SoftLists, n_items: int, temperature: float) -> Tensor:
    """The probabilities that lists stand for, [R, N]; the tail's mass is spread evenly over the items not listed.

    Exact for the listed items at temperature 1, and for everything at any temperature where the tail is flat. An empty
    list gives zeros.
    """
    found = listed_shares(lists, n_items, temperature)
    shares = found.even[:, None].repeat(1, n_items)
    return shares.scatter_add_(1, found.items, found.excess)


def listed_shares(lists: SoftLists, n_items: int, temperature: float) -> ListedShares:
    """The same as numbers of the listed items and one for each of the others."""
    listed = lists.items >= 0  # [R, K]
    own = torch.where(listed, lists.logits.float() - lists.log_sums[:, None].float(), float("-inf"))
    n_tail = n_items - listed.sum(dim=1)  # [R]
    tail = (1 - own.exp().sum(dim=1)).clamp_(min=0)
    each = (tail / n_tail.clamp(min=1)) ** (1 / temperature)  # [R]
    own = (own / temperature).exp()
    total = own.sum(dim=1) + each * n_tail
    speaks = listed.any(dim=1)
    scale = torch.where(speaks, 1 / torch.where(speaks, total, 1), 0.0)
    even = each * scale
    excess = torch.where(listed, own * scale[:, None] - even[:, None], 0.0)
    return ListedShares(lists.items.clamp(min=0), excess, even, speaks.float())


def _at(part: SoftPart, temperature: float, precision: torch.dtype) -> SoftPart:
    """The part with its logits divided by both temperatures, in the precision of the products."""
    if isinstance(part, SoftLabels):
        history = (part.history_vectors.float() / (part.temperature * temperature)).to(precision)
        return SoftLabels(history, part.item_vectors.to(precision), part.rows, part.weight)
    if isinstance(part, SoftLogits):
        return SoftLogits(part.logits.float() / (part.temperature * temperature), part.rows, part.weight)
    return part


def _device(part: SoftPart) -> torch.device:
    return part.history_vectors.device if isinstance(part, SoftLabels) else part.logits.device


def check_parts(parts: Sequence[SoftPart], *, n_positions: int, n_items: int) -> None:
    """Refuse what was made for other positions or another catalogue."""
    for part in parts:
        if isinstance(part, SoftLabels) and part.history_vectors.shape[1:] != part.item_vectors.shape[1:]:
            raise SettingsError(
                f"the teacher's history vectors have shape {tuple(part.history_vectors.shape)} and its item vectors "
                f"{tuple(part.item_vectors.shape)}; expected the same width"
            )
        expected = n_positions if part.rows is None else len(part.rows)
        if len(part) != expected:
            raise SettingsError(f"soft labels cover {len(part)} positions; expected {expected}")
        if not isinstance(part, SoftLists) and part.n_items != n_items:
            raise SettingsError(f"soft labels rank {part.n_items} items; expected the catalogue's {n_items}")
        if isinstance(part, SoftLists) and len(part) and int(part.items.max()) >= n_items:
            raise SettingsError(f"soft labels name item {int(part.items.max())}; the catalogue has {n_items} items")
        if not part.weight > 0:
            raise SettingsError(f"a part of the soft labels has weight {part.weight}; expected a number above 0")
