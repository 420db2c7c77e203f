"""One training step as the terms of the loss see it: what the student gives, what the teacher said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from distilrec.errors import SettingsError
from distilrec.knowledge import KnowledgeSource
from distilrec.mixture.parts import Onto, SoftLists, SoftPart, as_tensors, taken
from distilrec.mixture.teacher import Teacher
from distilrec.models.taps import Tap
from distilrec.types import Batch, IntArray


@dataclass(eq=False)
class Moment:
    """What a term of the loss works with in one step.

    Positions are the P of the batch that are learnt from. Histories that were augmented may have lost some of the
    clean batch's, which `teacher` knows, so the two sides always speak of the same ones.
    """

    batch: Batch
    """The histories as the student read them."""
    histories: Tensor
    """The student's history vectors, [P, D]."""
    items: Tensor
    """The student's item vectors, [N, D]."""
    targets: Tensor
    """The item that came next, [P]."""
    teacher: TeacherSide
    """What the teacher said of the same positions."""
    progress: float
    """Share of training that is done, from 0 to 1."""
    generator: torch.Generator
    """Of this step's draws."""
    precision: torch.dtype = torch.float32
    """Of large products."""
    taps: Mapping[Tap, Tensor] = field(default_factory=dict)
    """What the student's layers gave, with gradients."""
    learnt_from: Tensor | None = None
    """Which of the real positions that the student read are the P, as row numbers; none means all."""
    second_view: Tensor | None = None
    """History vectors of the same positions, read in another augmentation or with other units dropped, [P, D]."""

    def hidden(self, tap: Tap) -> Tensor:
        """What a layer of the student gave at the positions, [P, H]."""
        mask = torch.from_numpy(self.batch.mask).to(self.histories.device)
        rows = self.taps[tap][mask]
        return rows if self.learnt_from is None else rows[self.learnt_from]

    def shares(self, tap: Tap) -> Tensor:
        """Attention or relations of a layer of the student, [B, heads, L, L]."""
        return self.taps[tap]


class TeacherSide:
    """What a teacher said about one batch, on the device that trains; asked for once and kept for the step."""

    def __init__(
        self,
        source: KnowledgeSource | None,
        batch: Batch,
        *,
        n_items: int,
        onto: Onto,
        precision: torch.dtype,
        positions: IntArray | None = None,
    ) -> None:
        """`batch` is the clean one; `positions` are those of its real positions that are learnt from, ascending."""
        self._source, self._batch, self._n_items = source, batch, n_items
        self._onto, self._precision, self._positions = onto, precision, positions
        self._parts: list[SoftPart] | None = None
        self._n_positions = int(batch.lengths.sum()) if positions is None else len(positions)

    @property
    def batch(self) -> Batch:
        """The histories as the teacher read them."""
        return self._batch

    @property
    def positions(self) -> IntArray | None:
        """Which of the batch's real positions are learnt from, ascending; none means all."""
        return self._positions

    def soft_labels(self) -> list[SoftPart]:
        """The parts of the mixture."""
        if self._parts is None:
            found = [] if self._source is None else self._source.soft_labels(self._batch)
            parts = [as_tensors(part, self._onto) for part in found]
            if self._positions is not None:
                kept = self._onto(self._positions)
                parts = [part for one in parts if (part := taken(one, kept)) is not None]
            self._parts = parts
        return self._parts

    def lists(self, k: int) -> SoftLists:
        """The k best items of every position, best first, with logits; kept ones where the teacher kept enough."""
        kept = None if self._source is None else self._source.lists(self._batch)
        if kept is not None and kept.items.shape[1] >= k:
            part = as_tensors(replace(kept, items=kept.items[:, :k], logits=kept.logits[:, :k], weight=1.0), self._onto)
            found = part if self._positions is None else taken(part, self._onto(self._positions))
            if isinstance(found, SoftLists) and found.rows is None:
                return found
        return self._teacher().lists(k)

    def log_shares(self, items: Tensor, *, unknown: float = 0.0) -> Tensor:
        """The teacher's log-probabilities of any items, [P, K]; `unknown` for item -1 and where it says nothing."""
        return self._teacher().log_shares(items, unknown=unknown)

    def _teacher(self) -> Teacher:
        parts = self.soft_labels()
        if not parts:
            raise SettingsError("the teacher says nothing of the catalogue at these positions")
        return Teacher(parts, self._n_positions, self._n_items, 1.0, self._precision)

    def column(self, name: str) -> Tensor:
        """A column of the knowledge at the positions, [P, H]."""
        rows = self._onto(np.asarray(self._known.column(name, self._batch))).float()
        return rows if self._positions is None else rows[self._onto(self._positions)]

    def pairs(self, name: str) -> Tensor:
        """A column of pairs, window after window, [sum of squared lengths, heads]."""
        return self._onto(np.asarray(self._known.column(name, self._batch))).float()

    def item_vectors(self) -> Tensor:
        """The teacher's item table, [N, D_teacher]."""
        table = self._known.item_vectors()
        if table is None:
            raise SettingsError("the teacher has no item vectors")
        return self._onto.table(table).float()

    @property
    def _known(self) -> KnowledgeSource:
        if self._source is None:
            raise SettingsError("a term of the loss asks a teacher, but no knowledge was given")
        return self._source
