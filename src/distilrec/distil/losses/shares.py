"""A teacher's probabilities at a few positions, in the forms that the loss over the catalogue can take apart.

Both give the mean logit under them and take them out of a gradient. `ListedShares` do so without a number for each item
of the catalogue: what the tail shares evenly is one number a position, and its gradient a product of two vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class DenseShares:
    """Of every item."""

    shares: Tensor  # [c, N]; rows of zeros where the teacher is silent
    covered: Tensor | None  # [c], 1 where it speaks; none means everywhere

    @property
    def even(self) -> Tensor | None:
        """The part that all items have alike: none is kept apart."""
        return None

    def mean_logit(self, history: Tensor, items: Tensor, logits: Tensor, item_sum: Tensor) -> Tensor:
        """The mean logit under them, [c], without a product of two [c, N] matrices."""
        return ((self.shares @ items).float() * history.float()).sum(dim=1)

    def take_from(self, gradient: Tensor, weight: Tensor | float) -> Tensor:
        """`gradient - weight * shares`, in place, [c, N]."""
        if isinstance(weight, Tensor):
            return gradient.sub_(self.shares.mul_(weight[:, None].to(gradient.dtype)))
        return gradient.sub_(self.shares, alpha=weight)


@dataclass(frozen=True, eq=False)
class ListedShares:
    """Of the listed items, and one number for each of all the others."""

    items: Tensor  # [c, K], anything after the end of a list
    excess: Tensor  # [c, K] float32, the share less `even`; 0 after the end
    even: Tensor  # [c] float32, the share of an item that is not listed; 0 where the teacher is silent
    covered: Tensor  # [c], 1 where it speaks

    def mean_logit(self, history: Tensor, items: Tensor, logits: Tensor, item_sum: Tensor) -> Tensor:
        """The mean logit under them, [c]."""
        listed = (self.excess * logits.gather(1, self.items).float()).sum(dim=1)
        return listed + self.even * (history.float() @ item_sum)

    def take_from(self, gradient: Tensor, weight: Tensor | float) -> Tensor:
        """`gradient - weight * (shares - even)`, in place, [c, N]; the even part is left to the caller."""
        column = weight[:, None] if isinstance(weight, Tensor) else weight
        return gradient.scatter_add_(1, self.items, (-column * self.excess).to(gradient.dtype))


Shares = DenseShares | ListedShares
