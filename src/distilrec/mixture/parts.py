"""What a teacher says as tensors: the forms of `knowledge.labels`, on the device that trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distilrec.errors import SettingsError
from distilrec.knowledge import FactorLabels, Labels, ListLabels
from distilrec.types import FloatArray


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
    tail: Tensor | None = None  # [N], in which proportions unlisted items share the rest; none means evenly

    def __len__(self) -> int:
        return len(self.items)

    def among(self, begin: int, end: int) -> SoftLists:
        """Rows `begin` to `end`, as lists of all positions."""
        return SoftLists(self.items[begin:end], self.logits[begin:end], self.log_sums[begin:end], tail=self.tail)


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


class Onto:
    """Puts arrays onto a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._tables: dict[int, tuple[FloatArray, Tensor]] = {}

    def __call__(self, array: Any) -> Tensor:  # noqa: ANN401  (arrays of any type)
        """A tensor there."""
        return torch.as_tensor(array).to(self.device)

    def table(self, array: FloatArray) -> Tensor:
        """The same for a table, which is the same array for every batch, so it goes there once."""
        if id(array) not in self._tables:  # the array is held, so that no other one gets its identity
            self._tables[id(array)] = (array, self(array))
        return self._tables[id(array)][1]


def as_tensors(part: Labels, onto: Onto) -> SoftPart:
    """A part on a device; its tables go there once."""
    rows = None if part.rows is None else onto(part.rows)
    if isinstance(part, ListLabels):
        items, logits, log_sums = (onto(array) for array in (part.items, part.logits, part.log_sums))
        tail = None if part.tail is None else onto.table(part.tail)
        return SoftLists(items, logits, log_sums, rows, part.weight, tail)
    if isinstance(part, FactorLabels):
        history, table = onto(part.history_vectors), onto.table(part.item_vectors)
        return SoftLabels(history, table, rows, part.weight, part.temperature)
    return SoftLogits(onto(part.logits), rows, part.weight, part.temperature)


def taken(part: SoftPart, positions: Tensor) -> SoftPart | None:
    """What a part says of some positions, ascending, numbered anew from 0; None where it says nothing of them."""
    if part.rows is None:
        chosen, rows = positions, None
    else:
        at = torch.searchsorted(part.rows, positions).clamp(max=max(len(part.rows) - 1, 0))  # [P]
        known = part.rows[at] == positions if len(part.rows) else torch.zeros_like(positions, dtype=torch.bool)
        chosen, rows = at[known], torch.nonzero(known)[:, 0]
        if not len(chosen):
            return None
    if isinstance(part, SoftLists):
        lists = part.items[chosen], part.logits[chosen], part.log_sums[chosen]
        return SoftLists(*lists, rows, part.weight, part.tail)
    if isinstance(part, SoftLabels):
        return SoftLabels(part.history_vectors[chosen], part.item_vectors, rows, part.weight, part.temperature)
    return SoftLogits(part.logits[chosen], rows, part.weight, part.temperature)


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
        if isinstance(part, SoftLists) and part.tail is not None and len(part.tail) != n_items:
            raise SettingsError(f"a tail ranks {len(part.tail)} items; expected the catalogue's {n_items}")
        if not part.weight > 0:
            raise SettingsError(f"a part of the soft labels has weight {part.weight}; expected a number above 0")
