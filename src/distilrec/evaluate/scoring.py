"""Ask a scorer about cases, some at a time, within a bound on memory, with the time left shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.ranking import rank
from distilrec.progress import progress
from distilrec.types import Batch, Cases, FloatArray, IntArray, Ragged, Scorer, ranges

Watch = Callable[[IntArray, FloatArray], None]
BATCH_SIZE = 512
_MOST_SCORES = 1 << 27  # held at once: 512 MiB
_IN_CACHE = 1 << 20  # ranked at once: 4 MiB


@dataclass(frozen=True)
class Scored:
    """The scores of some cases."""

    rows: IntArray  # [B], their numbers
    histories: Ragged  # B rows, whole
    scores: FloatArray  # [B, N]


def scored_batches(
    scorer: Scorer,
    cases: Cases,
    *,
    batch_size: int = BATCH_SIZE,
    quiet: bool = False,
    what: str = "evaluating",
) -> Iterator[Scored]:
    """Every case once, histories of similar length together.

    The scorer gets whole histories, or their newest `max_length` items if it has an attribute of that name that is not
    None; `Batch.rows` are the numbers of the cases. Of a very large catalogue fewer than `batch_size` histories are
    scored at once.
    """
    if batch_size < 1:
        raise SettingsError(f"batch_size is {batch_size}; expected at least 1")
    at_once = min(batch_size, max(1, _MOST_SCORES // scorer.n_items))
    max_length: int | None = getattr(scorer, "max_length", None)
    by_length = np.argsort(-cases.histories.lengths, kind="stable")  # longest first: memory runs out at once or never
    with progress(what, total=len(cases), quiet=quiet) as advance:
        for start in range(0, len(cases), at_once):
            rows = by_length[start : start + at_once]
            histories = cases.histories.take(rows)
            batch = Batch.of_rows(histories, max_length=max_length)
            scores = scorer.scores(replace(batch, rows=rows))
            _check_shape(scores.shape, (len(rows), scorer.n_items))
            yield Scored(rows, histories, scores)
            advance(len(rows))


def rank_cases(
    scorer: Scorer,
    cases: Cases,
    *,
    exclude_history: bool = True,
    batch_size: int = BATCH_SIZE,
    watch: Watch | None = None,
    quiet: bool = False,
) -> tuple[Ragged, IntArray]:
    """The rank of every relevant item, and how many items each case ranks, [C].

    `watch` is shown some rows at a time of the scores, -infinity where an item is excluded, and leaves them so.
    """
    ranks, n_ranked = np.empty(len(cases.relevant.values), dtype=np.int64), np.empty(len(cases), dtype=np.int64)
    step = max(1, _IN_CACHE // scorer.n_items)
    for scored in scored_batches(scorer, cases, batch_size=batch_size, quiet=quiet):
        for start in range(0, len(scored.rows), step):
            rows = scored.rows[start : start + step]
            out = scored.histories.between(start, start + step) if exclude_history else None
            relevant = cases.relevant.take(rows)
            found = rank(scored.scores[start : start + step], relevant, out, case_numbers=rows)
            n_ranked[rows] = found.n_ranked
            ranks[ranges(cases.relevant.offsets[rows], relevant.lengths)] = found.ranks.values
            if watch is not None:
                watch(rows, found.scores)
    return Ragged(ranks, cases.relevant.offsets), n_ranked


def _check_shape(came: tuple[int, ...], expected: tuple[int, int]) -> None:
    if came != expected:
        raise DataError(f"the scorer gave scores of shape {came}; expected {expected}: cases, items of the catalogue")
