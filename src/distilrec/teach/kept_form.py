"""The form in which a teacher's soft labels are kept: parts, and the tables and columns that these need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from distilrec.knowledge import Column, FactorLabels, FactorPart, KnowledgeSource, Labels, ListPart
from distilrec.knowledge.layout import Part
from distilrec.mixture.best import largest
from distilrec.mixture.parts import Onto, SoftLists, as_tensors, taken
from distilrec.mixture.teacher import Teacher, chunk_rows
from distilrec.teach.folds import FoldedTeacher
from distilrec.teach.settings import KnowledgeSettings
from distilrec.types import Batch, IntArray

Array = np.ndarray[Any, Any]
_CPU = torch.device("cpu")


@dataclass
class KeptForm:
    """What is kept of each position, and how a teacher's answers become that."""

    n_items: int
    k: int
    parts: list[Part] = field(default_factory=list)
    tables: dict[str, Array] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)
    beside: ListPart | None = None
    """Lists of the whole mixture that are no part of it."""
    whole_mixture: bool = False
    """Whether the one part is a list of the whole mixture."""

    @classmethod
    def of(cls, teacher: KnowledgeSource, first: Batch, settings: KnowledgeSettings, n_items: int) -> KeptForm:
        """Found out by asking about a first batch."""
        form = cls(n_items, min(settings.top_k, n_items))
        if settings.soft_labels == "none":
            return form
        folds = teacher.form() if isinstance(teacher, FoldedTeacher) else None
        labels = [part for fold in folds for part in fold] if folds else teacher.soft_labels(first)
        are_factors = [isinstance(part, FactorLabels) for part in labels]
        if settings.soft_labels == "top" or (folds and not all(are_factors)):  # lists of all folds are one list
            form.parts, form.whole_mixture = [form._lists_in("top", settings.dtype)], True
            return form
        form._add_parts(labels, settings.dtype, len(folds) if folds else None)
        if settings.soft_labels == "both" and (len(labels) > 1 or all(are_factors)):
            form.beside = form._lists_in("top", settings.dtype)
        return form

    def _add_parts(self, labels: Sequence[Labels], dtype: str, folds: int | None) -> None:
        """Parts, tables and columns for labels of these forms; the teachers of all folds share columns."""
        of_one_fold = len(labels) // (folds or 1)
        for number, part in enumerate(labels):
            suffix = "" if len(labels) == 1 else f"_{number}"
            if not isinstance(part, FactorLabels):
                self.parts.append(self._lists_in(f"top{suffix}", dtype, weight=part.weight))
                continue
            fold, member = divmod(number, of_one_fold) if folds else (None, number)
            column = f"history_vectors_{member}" if of_one_fold > 1 else "history_vectors"
            table = f"item_vectors{suffix}"
            self.parts.append(FactorPart(column, table, part.weight, part.temperature, fold))
            self.tables[table] = part.item_vectors
            self.columns += [Column(column, (part.item_vectors.shape[1],), dtype)] if not fold else []

    def _lists_in(self, prefix: str, dtype: str, *, weight: float = 1.0) -> ListPart:
        """Lists, whose columns are added."""
        lists = ListPart(prefix, weight=weight)
        self.columns += lists.columns(self.k, self.n_items, dtype)
        return lists

    @property
    def needs_logits(self) -> bool:
        """Whether logits of the whole catalogue are worked out for it."""
        return bool(self.tail_names)

    @property
    def tail_names(self) -> list[str]:
        """Of a table for the tail of each lists."""
        return [part.tail for part in [*self.parts, self.beside] if isinstance(part, ListPart)]

    def rows(self, said: list[Labels], n_positions: int, folds: set[int]) -> dict[str, Array]:
        """The columns of a batch about which a teacher said this; `folds` are those that its windows are in."""
        found: dict[str, Array] = {}
        for part, labels in self._asked(said, folds):
            if isinstance(part, FactorPart):
                _put(found, part.column, labels[0], n_positions)
                continue
            lists = _best(labels, self.k, n_positions, self.n_items)
            arrays = (lists.items.numpy(), lists.logits.numpy(), lists.log_sums.numpy())
            found |= dict(zip(part.names, arrays, strict=True))
        return found

    def tails(self, said: list[Labels], positions: IntArray, folds: set[int]) -> dict[str, Array]:
        """For the table of each lists' tail, `_not_listed` over some of a batch's positions, [2, N]."""
        lists = [(part, labels) for part, labels in self._asked(said, folds) if isinstance(part, ListPart)]
        return {part.tail: _not_listed(labels, self.k, positions, self.n_items) for part, labels in lists}

    def _asked(self, said: list[Labels], folds: set[int]) -> Iterator[tuple[Part, list[Labels]]]:
        """Each part with what it is made of."""
        speaking = [part for part in self.parts if not isinstance(part, FactorPart) or part.fold in {None, *folds}]
        yield from zip(speaking, [said] if self.whole_mixture else [[one] for one in said], strict=True)
        if self.beside is not None:
            yield self.beside, said


def _put(found: dict[str, Array], column: str, labels: Labels, n_positions: int) -> None:
    """History vectors at the positions that they are of."""
    assert isinstance(labels, FactorLabels)
    if labels.rows is None:
        found[column] = labels.history_vectors
        return
    width = labels.item_vectors.shape[1]
    whole = found.setdefault(column, np.empty((n_positions, width), dtype=np.float32))
    whole[labels.rows] = labels.history_vectors


def _best(said: list[Labels], k: int, n_positions: int, n_items: int) -> SoftLists:
    """The best k of each position. One teacher keeps its own logits; a mixture gets the logarithms of its mean."""
    parts = [as_tensors(part, Onto(_CPU)) for part in said]
    return Teacher(parts, n_positions, n_items, 1.0, torch.float32).lists(k)


def _not_listed(said: list[Labels], k: int, positions: IntArray, n_items: int) -> Array:
    """Of each item, over those of some positions where it is not among the k best: the sum of its probabilities, and
    the sum of all that are not listed there, [2, N]."""
    found, chosen = np.zeros((2, n_items)), torch.from_numpy(positions)
    parts = [part for one in said if (part := taken(as_tensors(one, Onto(_CPU)), chosen)) is not None]
    if not parts:
        return found
    teacher, step = Teacher(parts, len(positions), n_items, 1.0, torch.float32), chunk_rows(n_items)
    for begin in range(0, len(positions), step):
        shares, _ = teacher.shares(begin, min(begin + step, len(positions)))
        listed = largest(shares, k)[1]
        rest = shares.scatter_(1, listed, 0).sum(dim=1)  # [c]
        found[0] += shares.sum(dim=0).numpy()
        found[1] += rest.expand(n_items, -1).T.contiguous().scatter_(1, listed, 0).sum(dim=0).numpy()
    return found


def folds_of(teacher: KnowledgeSource, windows: IntArray) -> set[int]:
    """Which folds training windows are in; none of them for a teacher that is not cross-fitted."""
    return set(teacher.folds[windows].tolist()) if isinstance(teacher, FoldedTeacher) else set()
