"""The form in which a teacher's soft labels are kept: parts, and the tables and columns that these need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from distilrec.knowledge import Column, FactorLabels, FactorPart, KnowledgeSource, Labels, ListLabels, ListPart
from distilrec.knowledge.labels import to_lists
from distilrec.knowledge.layout import Part
from distilrec.teach.folds import FoldedTeacher
from distilrec.teach.settings import KnowledgeSettings
from distilrec.types import Batch, IntArray

Array = np.ndarray[Any, Any]


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
        return self.beside is not None or any(isinstance(part, ListPart) for part in self.parts)

    def rows(self, said: list[Labels], n_positions: int, folds: set[int]) -> dict[str, Array]:
        """The columns of a batch about which a teacher said this; `folds` are those that its windows are in."""
        found: dict[str, Array] = {}
        speaking = [part for part in self.parts if not isinstance(part, FactorPart) or part.fold in {None, *folds}]
        for part, labels in zip(speaking, [said] if self.whole_mixture else [[one] for one in said], strict=True):
            if isinstance(part, ListPart):
                found |= self._lists(part, labels, n_positions)
            else:
                _put(found, part.column, labels[0], n_positions)
        return found if self.beside is None else found | self._lists(self.beside, said, n_positions)

    def _lists(self, part: ListPart, said: list[Labels], n_positions: int) -> dict[str, Array]:
        lists = _best(said, self.k, n_positions, self.n_items)
        return dict(zip(part.names, (lists.items, lists.logits, lists.log_sums), strict=True))


def _put(found: dict[str, Array], column: str, labels: Labels, n_positions: int) -> None:
    """History vectors at the positions that they are of."""
    assert isinstance(labels, FactorLabels)
    if labels.rows is None:
        found[column] = labels.history_vectors
        return
    width = labels.item_vectors.shape[1]
    whole = found.setdefault(column, np.empty((n_positions, width), dtype=np.float32))
    whole[labels.rows] = labels.history_vectors


def _best(said: list[Labels], k: int, n_positions: int, n_items: int) -> ListLabels:
    """The best k of each position. One teacher keeps its own logits; a mixture gets the logarithms of its mean."""
    part = said[0]
    if len(said) > 1 or isinstance(part, ListLabels) or part.rows is not None:
        return to_lists(said, k=k, n_positions=n_positions, n_items=n_items)
    if isinstance(part, FactorLabels):
        logits = torch.from_numpy(part.history_vectors) @ torch.from_numpy(part.item_vectors).T  # [P, N]
    else:
        logits = torch.from_numpy(np.asarray(part.logits, dtype=np.float32))
    logits = logits / part.temperature if part.temperature != 1 else logits
    values, items = torch.topk(logits, k, dim=1)
    return ListLabels(items.numpy(), values.numpy(), torch.logsumexp(logits, dim=1).numpy())


def folds_of(teacher: KnowledgeSource, windows: IntArray) -> set[int]:
    """Which folds training windows are in; none of them for a teacher that is not cross-fitted."""
    return set(teacher.folds[windows].tolist()) if isinstance(teacher, FoldedTeacher) else set()
