"""The probabilities of a teacher's mixture, for a few positions at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distilrec.mixture.best import largest
from distilrec.mixture.parts import SoftLabels, SoftLists, SoftLogits, SoftPart
from distilrec.mixture.shares import DenseShares, Shares, Tail, dense, listed_shares

_CHUNK_NUMBERS = 1 << 19


class Teacher:
    """A mixture of parts, ready to be asked for the probabilities of any stretch of positions."""

    def __init__(
        self, parts: Sequence[SoftPart], n_positions: int, n_items: int, temperature: float, precision: torch.dtype
    ) -> None:
        self._n_positions, self._n_items = n_positions, n_items
        self._temperature, self._precision = temperature, precision
        self._parts = [_at(part, temperature, precision) for part in parts]
        self._tails = {
            id(part): Tail.of(part, n_items, temperature) for part in self._parts if isinstance(part, SoftLists)
        }
        self._alone = len(parts) == 1 and parts[0].rows is None and not isinstance(parts[0], SoftLists)
        only = parts[0] if len(parts) == 1 and parts[0].rows is None else None
        self._lists = only if isinstance(only, SoftLists) else None
        self._weights = None if self._alone else self._summed_weights()  # [P]

    @property
    def n_covered(self) -> int:
        """Positions that at least one part speaks of."""
        return self._n_positions if self._weights is None else int((self._weights > 0).sum())

    @property
    def tail(self) -> Tensor | None:
        """What all positions have in common where a single list is kept as one, [N]; see `ListedShares`."""
        return None if self._lists is None else self._tails[id(self._lists)].warm.values

    def chunk(self, begin: int, end: int, *, dense: bool) -> Shares:
        """Of positions `begin` to `end`; a single list stays one unless it is to be `dense`."""
        if dense or self._lists is None:
            return DenseShares(*self.shares(begin, end))
        return listed_shares(self._lists.among(begin, end), self._tails[id(self._lists)])

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
        """The k best items of every position, best first; empty where nothing is known.

        Of a single teacher they have its own logits and their log-sum-exp; of a mixture log-probabilities, so that the
        log-sums are 0. Their tail is even.
        """
        step = chunk_rows(self._n_items)
        begins = range(0, max(self._n_positions, 1), step)
        found = [self._best(begin, min(begin + step, self._n_positions), min(k, self._n_items)) for begin in begins]
        items, logits, log_sums = (torch.cat(arrays) for arrays in zip(*found, strict=True))
        return SoftLists(items, logits, log_sums)

    def _best(self, begin: int, end: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Items and logits [c, K], and log-sums [c]."""
        if self._alone:
            logits = self._logits(self._parts[0], begin, end)
            values, items = largest(logits, k)
            highest = values[:, :1].float()
            log_sums = (logits.float() - highest).exp_().sum(dim=1).log() + highest[:, 0]
            return items, values.float(), log_sums
        shares, covered = self.shares(begin, end)
        values, items = largest(shares, k)
        if covered is not None:
            items, values = torch.where(covered[:, None] > 0, items, -1), torch.where(covered[:, None] > 0, values, 1.0)
        logits = values.float().clamp(min=torch.finfo(torch.float32).tiny).log()
        return items, logits, logits.new_zeros(len(logits))

    def log_shares(self, items: Tensor, *, unknown: float = 0.0) -> Tensor:
        """Log-probabilities of any items, [P, K]; `unknown` for item -1 and where nothing is known."""
        step, found = chunk_rows(self._n_items), []
        for begin in range(0, self._n_positions, step):
            chosen = items[begin : begin + step]
            shares, covered = self.shares(begin, begin + len(chosen))
            own = shares.gather(1, chosen.clamp(min=0)).float().clamp(min=torch.finfo(torch.float32).tiny).log()
            known = chosen >= 0 if covered is None else (chosen >= 0) & (covered > 0)[:, None]
            found.append(torch.where(known, own, unknown))
        return torch.cat(found) if found else items.float()

    def _probabilities(self, part: SoftPart, first: int, last: int) -> Tensor:
        """Of a part's own rows, [last - first, N]."""
        if not isinstance(part, SoftLists):
            return torch.softmax(self._logits(part, first, last), dim=1).to(self._precision)
        return dense(listed_shares(part.among(first, last), self._tails[id(part)])).to(self._precision)

    @staticmethod
    def _logits(part: SoftPart, first: int, last: int) -> Tensor:
        """Of a part that is no list, [last - first, N], divided by the temperatures."""
        assert not isinstance(part, SoftLists)
        if isinstance(part, SoftLogits):
            return part.logits[first:last]
        return part.history_vectors[first:last] @ part.item_vectors.T

    def _summed_weights(self) -> Tensor:
        """Of the parts that speak of each position, [P]."""
        total = torch.zeros(self._n_positions, device=_device(self._parts[0]))
        for part in self._parts:
            rows = torch.arange(self._n_positions, device=total.device) if part.rows is None else part.rows
            known = (part.items >= 0).any(dim=1).float() if isinstance(part, SoftLists) else 1.0
            total.index_add_(0, rows, torch.ones(len(part), device=total.device) * known * part.weight)
        return total


def chunk_rows(n_items: int) -> int:
    """How many positions are worked on at once, so that their numbers stay in the processor's cache."""
    return max(16, min(512, _CHUNK_NUMBERS // max(n_items, 1)))


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
