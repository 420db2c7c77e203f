"""A teacher's probabilities at a few positions, in the forms that the loss over the catalogue can take apart.

Both give the mean logit under them and take them out of a gradient. `ListedShares` do so without a number for each item
of the catalogue: their tail has the same proportions everywhere, so it is one number a position, and its gradient a
product of two vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from distilrec.mixture.parts import SoftLists

_LEAST_OF_TAIL = 1e-9  # of an item beside the likeliest, so that logarithms and quotients are finite
_HIGHEST_LEVEL = 1e4  # beyond, the shares of listed items, which are differences, would lose their digits


@dataclass(frozen=True, eq=False)
class DenseShares:
    """Of every item."""

    shares: Tensor  # [c, N]; rows of zeros where the teacher is silent
    covered: Tensor | None  # [c], 1 where it speaks; none means everywhere

    @property
    def level(self) -> Tensor | None:
        """How much of a common tail each position has: none is kept apart."""
        return None

    def mean_logit(self, history: Tensor, items: Tensor, logits: Tensor, tail_vector: Tensor | None) -> Tensor:
        """The mean logit under them, [c], without a product of two [c, N] matrices."""
        return ((self.shares @ items).float() * history.float()).sum(dim=1)

    def take_from(self, gradient: Tensor, weight: Tensor | float) -> Tensor:
        """`gradient - weight * shares`, in place, [c, N]."""
        if isinstance(weight, Tensor):
            return gradient.sub_(self.shares.mul_(weight[:, None].to(gradient.dtype)))
        return gradient.sub_(self.shares, alpha=weight)


@dataclass(frozen=True, eq=False)
class ListedShares:
    """Of the listed items, and one number for all the others: item j that is not listed has `level * tail[j]`."""

    items: Tensor  # [c, K], anything after the end of a list
    excess: Tensor  # [c, K] float32, the share less what the item would have in the tail; 0 after the end
    level: Tensor  # [c] float32; 0 where the teacher is silent
    tail: Tensor  # [N] float32, the same at all positions
    covered: Tensor  # [c], 1 where it speaks

    def mean_logit(self, history: Tensor, items: Tensor, logits: Tensor, tail_vector: Tensor | None) -> Tensor:
        """The mean logit under them, [c]; `tail_vector` is `tail @ items`, [D]."""
        listed = (self.excess * logits.gather(1, self.items).float()).sum(dim=1)
        return listed if tail_vector is None else listed + self.level * (history.float() @ tail_vector)

    def take_from(self, gradient: Tensor, weight: Tensor | float) -> Tensor:
        """`gradient - weight * (shares - level * tail)`, in place, [c, N]; the common tail is left to the caller."""
        column = weight[:, None] if isinstance(weight, Tensor) else weight
        return gradient.scatter_add_(1, self.items, (-column * self.excess).to(gradient.dtype))


Shares = DenseShares | ListedShares


@dataclass(frozen=True, eq=False)
class Proportions:
    """How likely items are, relative to the likeliest."""

    values: Tensor  # [N] float32, above 0 and at most 1
    total: Tensor  # a scalar, the sum
    least: Tensor  # a scalar

    @classmethod
    def of(cls, values: Tensor) -> Proportions:
        """With their sum and their least."""
        return cls(values, values.sum(), values.min())

    def without(self, own: Tensor, n_left: Tensor) -> Tensor:
        """The sum over `n_left` items, [R], which is all but those whose values are `own`, [R, K]."""
        return torch.maximum(self.total - own.sum(dim=1), self.least * n_left)  # the difference of sums is rounded


@dataclass(frozen=True, eq=False)
class Tail:
    """In which proportions items that are not listed share what lists leave."""

    plain: Proportions
    warm: Proportions  # at the temperature
    temperature: float

    @classmethod
    def of(cls, lists: SoftLists, n_items: int, temperature: float) -> Tail:
        """The lists' own, or an even one."""
        if lists.tail is None:
            even = Proportions.of(torch.ones(n_items, device=lists.items.device))
            return cls(even, even, temperature)
        values = (lists.tail.float() / lists.tail.max()).clamp(min=_LEAST_OF_TAIL)
        plain = Proportions.of(values)
        return cls(plain, plain if temperature == 1 else Proportions.of(values ** (1 / temperature)), temperature)


def spread_lists(lists: SoftLists, n_items: int, temperature: float) -> Tensor:
    """The probabilities that lists stand for, [R, N]; items not listed share the rest in the proportions of the tail.

    Exact for the listed items at temperature 1, and for everything at any temperature where the tail has these
    proportions. An empty list gives zeros.
    """
    return dense(listed_shares(lists, Tail.of(lists, n_items, temperature)))


def dense(found: ListedShares) -> Tensor:
    """All of them, [c, N]."""
    return (found.level[:, None] * found.tail).scatter_add_(1, found.items, found.excess)


def listed_shares(lists: SoftLists, tail: Tail) -> ListedShares:
    """The same as numbers of the listed items and one for all the others."""
    listed, items = lists.items >= 0, lists.items.clamp(min=0)  # [R, K]
    n_left = len(tail.plain.values) - listed.sum(dim=1)  # [R]
    own = torch.where(listed, lists.logits.float() - lists.log_sums[:, None].float(), float("-inf"))
    mass = (1 - own.exp().sum(dim=1)).clamp_(min=0)  # of what is not listed, [R]
    plain, warm = (torch.where(listed, found.values[items], 0.0) for found in (tail.plain, tail.warm))  # [R, K]
    level = (mass / tail.plain.without(plain, n_left)) ** (1 / tail.temperature)
    level = torch.where(n_left > 0, level, 0.0).clamp_(max=_HIGHEST_LEVEL)
    own = (own / tail.temperature).exp()
    total = own.sum(dim=1) + level * tail.warm.without(warm, n_left)
    speaks = listed.any(dim=1)
    scale = torch.where(speaks, 1 / torch.where(speaks, total, 1), 0.0)
    level = level * scale
    excess = own * scale[:, None] - level[:, None] * warm
    return ListedShares(items, excess, level, tail.warm.values, speaks.float())
