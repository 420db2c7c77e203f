"""Ranked lists that another library or a language-model service wrote: rows of a file in, arrays of lists out."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from distilrec.config import Settings
from distilrec.data.interactions import Ids, Interactions
from distilrec.errors import KnowledgeError
from distilrec.teach.outside_files import Listed, read_listed
from distilrec.types import FloatArray, IntArray, Ragged

DoubleArray = NDArray[np.float64]
_NAMED = 3  # how many examples a message gives
_SUM_TOLERANCE = 1e-3
_LEAST_LOGIT = -1e4  # of a log-probability; exp of it is 0 in any precision, and float16 still holds it


class RankingSettings(Settings):
    """How a file of ranked lists becomes soft labels."""

    top_k: int = Field(100, ge=1)
    """Items kept of each list, K; the probability of those cut off goes to the tail."""

    scores: Literal["logits", "probabilities"] = "logits"
    """What a score is: a number whose softmax gives probabilities, or a probability."""

    scale: float = Field(1.0, gt=0)
    """What logits, or the logarithms of probabilities, are divided by: a temperature."""

    rank_scale: float = Field(10.0, gt=0)
    """Where there are no scores, the item at rank r weighs exp(-r / rank_scale)."""

    tail_mass: float = Field(0.1, ge=0, lt=1)
    """Share of probability for all items that a list does not name, spread evenly. Probabilities say it themselves."""

    unknown: Literal["refuse", "drop"] = "refuse"
    """Users and items that the prepared data has not: refuse the file, or leave them out."""


@dataclass(frozen=True)
class Counts:
    """What a file of ranked lists held."""

    rows: int
    lists: int
    lists_cut: int
    """Longer than K."""
    users_known: int
    users_unknown: int
    """Of a file with histories: histories that name an unknown item."""
    items_known: int
    items_unknown: int
    unused_columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Rankings:
    """Lists as log-probabilities, best item first, and whom each is for."""

    items: IntArray  # [R, K], -1 after the end of a list
    logits: FloatArray  # [R, K], log-probabilities; what is missing to 1 is the tail's
    users: IntArray  # [R], user rows, -1 where unknown or where a history is given
    after: IntArray  # [R], how many of the user's events it has seen, -1: it speaks of all positions
    histories: Ragged | None  # R rows of item rows; a row with an unknown item is empty
    counts: Counts

    def __len__(self) -> int:
        return len(self.items)


def read_rankings(path: Path, interactions: Interactions, settings: RankingSettings) -> Rankings:
    """Read a file of ranked lists.

    Weights of ranks are those of Tang and Wang 2018 (Ranking Distillation).

    Raises:
        DataError: the file is empty, or neither Parquet nor JSON lines.
        KnowledgeError: its content can not be used; the message names the list and what to do.
    """
    listed = read_listed(path)
    rows, items_unknown = _known(listed, "items", listed.rows["item_id"], interactions.item_rows, settings.unknown)
    users, histories, users_unknown = _whose(listed, interactions, settings.unknown)
    logits, tails = _logits(listed, settings)
    kept = rows >= 0
    ranking, rows = listed.rows["ranking"].to_numpy()[kept], rows[kept]
    _refuse_twice(listed, ranking, rows, lambda row: f"item {interactions.items['item_id'][int(row)]!r}")
    after = listed.keys["after"].fill_null(-1).to_numpy() if "after" in listed.keys else np.full(len(users), -1)
    _refuse_repeated(listed, users, after, histories)
    logits = _log_probabilities(ranking, logits[kept], tails, interactions.n_items)
    items, values, lists_cut = _cut(ranking, rows, logits, len(users), settings.top_k)
    counts = Counts(
        rows=listed.n_rows,
        lists=len(users),
        lists_cut=lists_cut,
        users_known=len(np.unique(users[users >= 0])),
        users_unknown=users_unknown,
        items_known=len(np.unique(rows)),
        items_unknown=items_unknown,
        unused_columns=listed.unused,
    )
    return Rankings(items, values, users, after, histories, counts)


def _known(
    listed: Listed, what: str, ids: pl.Series, find: Callable[[Ids], IntArray], unknown: str
) -> tuple[IntArray, int]:
    """The row of each id, -1 where there is none, and how many different ids those are."""
    different = ids.unique(maintain_order=True)
    found = find(different)
    strangers = different.filter(pl.Series(found < 0))
    if len(strangers) and unknown == "refuse":
        named = ", ".join(map(repr, strangers[:_NAMED]))
        raise KnowledgeError(
            f"{listed.path} has {len(strangers):,} {what} that the prepared data has not (first: {named}). "
            "Check that both come from the same data, or set unknown to drop to leave them out"
        )
    rows = ids.replace_strict(different, pl.Series(found), return_dtype=pl.Int64).to_numpy()
    return rows, len(strangers)


def _whose(listed: Listed, interactions: Interactions, unknown: str) -> tuple[IntArray, Ragged | None, int]:
    """User rows [R] or histories, and how many of either are unknown."""
    if "user_id" in listed.keys:
        users, count = _known(listed, "users", listed.keys["user_id"], interactions.user_rows, unknown)
        return users, None, count
    lengths = listed.keys["history"].list.len().to_numpy().astype(np.int64)
    flat, _ = _known(listed, "items of histories", listed.keys["history"].explode(), interactions.item_rows, unknown)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    strange = np.add.reduceat(flat < 0, offsets[:-1]) > 0  # [R]; no history is empty
    kept: list[IntArray | list[int]] = [
        row if not bad else [] for row, bad in zip(Ragged(flat, offsets), strange, strict=True)
    ]
    return np.full(len(lengths), -1, dtype=np.int64), Ragged.of(kept), int(strange.sum())


def _logits(listed: Listed, settings: RankingSettings) -> tuple[DoubleArray, DoubleArray]:
    """A logit for each row, and for each list the share that it leaves to all other items."""
    tails = np.full(len(listed.keys), settings.tail_mass)
    ranking = listed.rows["ranking"].to_numpy()
    if "rank" in listed.rows:
        ranks = _numbers(listed, "rank")
        _refuse_twice(listed, ranking, ranks, lambda rank: f"rank {rank:g}")
    if "score" not in listed.rows:
        return -ranks / settings.rank_scale, tails
    scores = _numbers(listed, "score")
    if settings.scores == "logits":
        return scores / settings.scale, tails
    outside = np.flatnonzero((scores <= 0) | (scores > 1 + _SUM_TOLERANCE))
    if len(outside):
        at = int(outside[0])
        raise KnowledgeError(
            f"{listed.name_row(at)} has probability {scores[at]:g}; expected above 0 and at most 1. "
            "Leave out items without probability, or set scores to logits"
        )
    sums = np.bincount(ranking, weights=scores, minlength=len(tails))
    if (sums > 1 + _SUM_TOLERANCE).any():
        at = int(np.argmax(sums))
        raise KnowledgeError(
            f"{listed.name(at)} has probabilities that sum to {sums[at]:.4g}; expected at most 1. "
            "Divide them by their sum, or set scores to logits"
        )
    return np.log(scores) / settings.scale, np.clip(1 - sums, 0, 1)


def _numbers(listed: Listed, column: str) -> DoubleArray:
    values = listed.rows[column]
    if not values.dtype.is_numeric():
        raise KnowledgeError(f"{listed.path}: {column} holds {values.dtype}; expected numbers")
    numbers = values.cast(pl.Float64).to_numpy()  # nulls become NaN
    broken = np.flatnonzero(~np.isfinite(numbers))
    if len(broken):
        at = int(broken[0])
        raise KnowledgeError(
            f"{listed.name_row(at)} has {column} {values[at]} (so have {len(broken):,} rows); expected a number. "
            "Leave those rows out, or repair what wrote them"
        )
    return numbers


def _refuse_twice(listed: Listed, ranking: IntArray, values: NDArray[Any], name: Callable[[Any], str]) -> None:
    """Refuse a list that has the same item, or the same rank, in two rows."""
    order = np.lexsort((values, ranking))
    again = (np.diff(ranking[order]) == 0) & (np.diff(values[order]) == 0)
    if again.any():
        at = order[1:][again][0]
        raise KnowledgeError(
            f"{listed.name(int(ranking[at]))} has {name(values[at])} twice ({int(again.sum()):,} such rows in all); "
            "expected each once in a list. Repair what wrote the file"
        )


def _refuse_repeated(listed: Listed, users: IntArray, after: IntArray, histories: Ragged | None) -> None:
    """Refuse two lists for one user and place, or for one history, also where they are spelt differently."""
    whose: list[Hashable | None]
    if histories is None:
        whose = [(user, seen) if user >= 0 else None for user, seen in zip(users.tolist(), after.tolist(), strict=True)]
    else:
        whose = [row.tobytes() if len(row) else None for row in histories]
    last = {key: number for number, key in enumerate(whose)}
    again = [number for number, key in enumerate(whose) if key is not None and last[key] != number]
    if again:
        raise KnowledgeError(
            f"{listed.name(again[0])} has two lists ({len(again):,} such lists in all); expected one. "
            "Lists of one user at several places are told apart by a column `after`"
        )


def _log_probabilities(ranking: IntArray, logits: DoubleArray, tails: DoubleArray, n_items: int) -> DoubleArray:
    """Logits such that the exponentials of each list sum to what its tail leaves of 1."""
    highest = np.full(len(tails), -np.inf)
    np.maximum.at(highest, ranking, logits)
    shifted = logits - highest[ranking]
    sums = np.bincount(ranking, weights=np.exp(shifted), minlength=len(tails))  # [R]
    left = np.where(np.bincount(ranking, minlength=len(tails)) < n_items, 1 - tails, 1.0)  # a whole list has no tail
    with np.errstate(divide="ignore"):  # lists without a known item
        found: DoubleArray = np.maximum(shifted + np.log(left / sums)[ranking], _LEAST_LOGIT)
    return found


def _cut(
    ranking: IntArray, rows: IntArray, logits: DoubleArray, n_lists: int, top_k: int
) -> tuple[IntArray, FloatArray, int]:
    """The best items of each list side by side, [R, K], and how many lists were longer than K."""
    order = np.lexsort((-logits, ranking))  # stable: ties keep the order of the file
    ranking, rows, logits = ranking[order], rows[order], logits[order]
    lengths = np.bincount(ranking, minlength=n_lists)
    places = np.arange(len(ranking)) - (np.cumsum(lengths) - lengths)[ranking]
    width = max(1, min(top_k, int(lengths.max(initial=0))))
    items = np.full((n_lists, width), -1, dtype=np.int64)
    kept = places < width
    items[ranking[kept], places[kept]] = rows[kept]
    values = np.zeros((n_lists, width), dtype=np.float32)
    values[ranking[kept], places[kept]] = logits[kept]
    return items, values, int((lengths > width).sum())
