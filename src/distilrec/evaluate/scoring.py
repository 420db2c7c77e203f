"""Ask a scorer about cases, some at a time, within a bound on memory, with the time left shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.ranking import ranks_of_relevant
from distilrec.progress import progress
from distilrec.types import Batch, Cases, FloatArray, IntArray, Ragged, Scorer, ranges

Watch = Callable[[IntArray, FloatArray], None]
BATCH_SIZE = 512
_MOST_SCORES = 1 << 27  # held at once: 512 MiB


@dataclass(frozen=True)
class Scored:
    """The scores of some cases."""

    rows: IntArray  # [B], their numbers
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
            batch = Batch.of_rows(cases.histories.take(rows), max_length=max_length)
            scores = scorer.scores(replace(batch, rows=rows))
            _check_shape(scores.shape, (len(rows), scorer.n_items))
            yield Scored(rows, scores)
            advance(len(rows))


def rank_cases(
    scorer: Scorer,
    cases: Cases,
    excluded: Ragged | None,
    *,
    batch_size: int = BATCH_SIZE,
    watch: Watch | None = None,
    quiet: bool = False,
) -> Ragged:
    """The rank of every relevant item; `watch` is shown the scores of each batch, and leaves them as they are."""
    ranks = np.empty(len(cases.relevant.values), dtype=np.int64)
    for scored in scored_batches(scorer, cases, batch_size=batch_size, quiet=quiet):
        rows = scored.rows
        out = None if excluded is None else excluded.take(rows)
        found = ranks_of_relevant(scored.scores, cases.relevant.take(rows), out, case_numbers=rows)
        if watch is not None:
            watch(rows, scored.scores)
        ranks[ranges(cases.relevant.offsets[rows], cases.relevant.lengths[rows])] = found.values
    return Ragged(ranks, cases.relevant.offsets)


def _check_shape(came: tuple[int, ...], expected: tuple[int, int]) -> None:
    if came != expected:
        raise DataError(f"the scorer gave scores of shape {came}; expected {expected}: cases, items of the catalogue")
