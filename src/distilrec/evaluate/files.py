"""Scores that another program wrote: read from files, they are judged as any model is.

In a folder, for each split of the cases, one of three forms (`.npy`, rows in the order of the cases):

- `SPLIT.scores.npy` [C, N] alone: every score.
- `SPLIT.histories.npy` [C, D] and `items.npy` [N, D]: vectors whose products are the scores.
- `SPLIT.items.npy` and `SPLIT.scores.npy` [C, K]: the best K items of each case and their scores, -1 where a list is
  shorter. What is in no list is never recommended, so such lists are judged at cut-offs up to K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.evaluate.evaluation import Evaluation, evaluate
from distilrec.evaluate.ranking import owners_of
from distilrec.types import Batch, Cases, FloatArray, IntArray, Ragged, Scorer

_WHOLE_LIST = ("mrr", "auc")  # metrics that need more of the ranking than its best K


@dataclass(frozen=True, eq=False)
class ScoresOnDisk:
    """Every score, looked up by the number of the case."""

    all: FloatArray  # [C, N], mapped from the disk

    @property
    def n_items(self) -> int:
        """How many items are scored."""
        return int(self.all.shape[1])

    def scores(self, batch: Batch) -> FloatArray:
        """[B, N]"""
        return np.array(self.all[_numbers(batch)], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class VectorsOnDisk:
    """Scores as products of vectors."""

    histories: FloatArray  # [C, D]
    items: FloatArray  # [N, D]

    @property
    def n_items(self) -> int:
        """How many items are scored."""
        return len(self.items)

    def scores(self, batch: Batch) -> FloatArray:
        """[B, N]"""
        found: FloatArray = self.histories[_numbers(batch)] @ self.items.T
        return found


@dataclass(frozen=True, eq=False)
class ListsOnDisk:
    """The best items of each case; all others are tied at minus infinity, behind them."""

    n_items: int
    items: IntArray  # [C, K], -1 where a list is shorter
    of_items: FloatArray  # [C, K]

    def scores(self, batch: Batch) -> FloatArray:
        """[B, N]"""
        numbers = _numbers(batch)
        found = np.full((len(numbers), self.n_items), -np.inf, dtype=np.float32)
        rows, places = np.nonzero(self.items[numbers] >= 0)
        found[rows, self.items[numbers[rows], places]] = self.of_items[numbers[rows], places]
        return found


def read_scores(folder: Path, split: str, cases: Cases, *, n_items: int) -> Scorer:
    """The scores in a folder, checked against the cases that they are for."""
    histories, scores, items = (_load(folder / f"{split}.{name}.npy") for name in ("histories", "scores", "items"))
    if histories is not None:
        table = _load(folder / "items.npy")
        if table is None:
            raise ArtifactError(f"{folder} holds {split}.histories.npy, and no items.npy to multiply it by")
        _check(folder / f"{split}.histories.npy", histories, (len(cases), table.shape[-1]))
        _check(folder / "items.npy", table, (n_items, table.shape[-1]))
        return VectorsOnDisk(histories, table)
    if scores is None:
        raise ArtifactError(
            f"{folder} holds no scores of {split}; expected {split}.scores.npy, {split}.histories.npy with items.npy, "
            f"or {split}.items.npy with {split}.scores.npy"
        )
    if items is None:
        _check(folder / f"{split}.scores.npy", scores, (len(cases), n_items))
        return ScoresOnDisk(scores)
    _check(folder / f"{split}.items.npy", items, (len(cases), items.shape[-1]))
    _check(folder / f"{split}.scores.npy", scores, items.shape)
    _check_lists(folder / f"{split}.items.npy", items, cases, n_items)
    return ListsOnDisk(n_items, items, scores)


def judge_files(
    folder: Path, split: str, cases: Cases, *, n_items: int, cutoffs: Sequence[int] = (5, 10, 20), quiet: bool = False
) -> Evaluation:
    """Evaluate what another program wrote, the history left out."""
    scorer = read_scores(folder, split, cases, n_items=n_items)
    if not isinstance(scorer, ListsOnDisk):
        return evaluate(scorer, cases, cutoffs=cutoffs, split=split, quiet=quiet)
    length = scorer.items.shape[1]
    if max(cutoffs) > length:
        raise SettingsError(f"{folder} holds lists of {length} items; cut-off {max(cutoffs)} needs longer ones")
    _check_answers(folder / f"{split}.items.npy", scorer.items, cases, n_items, max(cutoffs))
    found = evaluate(scorer, cases, cutoffs=cutoffs, split=split, quiet=quiet)
    return replace(found, per_user=found.per_user.drop(_WHOLE_LIST))


def _numbers(batch: Batch) -> IntArray:
    if batch.rows is None:
        raise DataError("scores from files are looked up by the number of the case, and this batch does not tell it")
    return batch.rows


def _load(path: Path) -> NDArray[Any] | None:
    if not path.is_file():
        return None
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ArtifactError(f"{path} is damaged, or no array of numbers ({error}); write it again") from None
    return found


def _check(path: Path, array: NDArray[Any], expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise DataError(f"{path} has shape {array.shape}; expected {expected}")


def _check_lists(path: Path, items: IntArray, cases: Cases, n_items: int) -> None:
    """Items must exist, be named once, and not be in the history: left out later, they would shorten the lists."""
    if items.dtype.kind not in "iu":
        raise DataError(f"{path} holds {items.dtype}; expected whole numbers, the rows of items")
    least, most = int(items.min(initial=0)), int(items.max(initial=0))
    if least < -1 or most >= n_items:
        raise DataError(f"{path} names items {least} to {most}; expected rows below {n_items}, or -1 for none")
    listed = _listed(items, n_items)
    if len(np.unique(listed)) < len(listed):
        raise DataError(f"{path} names an item twice in one list; expected each once")
    seen = np.isin(listed, _pairs(cases.histories, n_items))
    if seen.any():
        case = int(listed[seen][0] // n_items)
        raise DataError(
            f"{path}: the list of case {case} names item {int(listed[seen][0] % n_items)} of its history "
            f"({int(seen.sum())} do). Leave the history out before lists are cut"
        )


def _listed(items: IntArray, n_items: int) -> IntArray:
    """One number for each (case, item) pair of the lists."""
    cases_of, places = np.nonzero(items >= 0)
    listed: IntArray = cases_of * n_items + items[cases_of, places]
    return listed


def _pairs(rows: Ragged, n_items: int) -> IntArray:
    """The same of items of the cases."""
    return owners_of(rows) * n_items + rows.values


def _check_answers(path: Path, items: IntArray, cases: Cases, n_items: int, cutoff: int) -> None:
    """An answer in no list stands behind all items of its case, which must be more than are looked at."""
    owners = owners_of(cases.relevant)
    had = np.unique(_pairs(cases.histories, n_items)) // n_items
    n_ranked = n_items - np.bincount(had, minlength=len(cases))  # [C]
    found = ~np.isin(_pairs(cases.relevant, n_items), _listed(items, n_items)) & (n_ranked[owners] <= cutoff)
    if found.any():
        case = int(owners[found][0])
        raise DataError(
            f"{path}: the list of case {case} leaves out an answer, which would count as found among the best "
            f"{cutoff}, since the case ranks {n_ranked[case]} items. List all of them, or choose a smaller cut-off"
        )
