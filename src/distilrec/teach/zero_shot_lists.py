"""A zero-shot language model's ranked lists as a Parquet file, which `teach.outside` imports as knowledge."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from distilrec.data.interactions import Interactions
from distilrec.errors import DataError
from distilrec.files import atomic_path, sha256_of_arrays, sha256_of_value
from distilrec.progress import progress
from distilrec.types import FloatArray, IntArray, Ragged


class Ranker(Protocol):
    """What scores titles, such as a `ZeroShotRanker`."""

    def rank(self, histories: Sequence[Sequence[str]], candidates: Sequence[Sequence[str]]) -> FloatArray:
        """The score of each candidate after its history, [B, K]."""
        ...

    def digest(self) -> str:
        """SHA-256 of everything that decides the scores."""
        ...


@dataclass(frozen=True, eq=False)
class Questions:
    """What a ranker is asked: for each of R lists whom it is for, what came before, and the items to rank."""

    users: IntArray  # [R], user rows
    histories: Ragged  # R rows of item rows, oldest first: the user's first training events, or none for a cold start
    candidates: Ragged  # R rows of item rows, each item once

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class RankingReport:
    """What was written, and what was left out."""

    lists: int
    rows: int
    lists_without_candidates: int
    """Questions none of whose candidates has a title."""
    items_without_title: int
    """Different items that are candidates and have no title; what a history has of them is left out as well."""

    def lines(self) -> list[str]:
        """The report for a person."""
        lost = f"{self.items_without_title:,} candidates have no title and were left out"
        empty = f"{self.lists_without_candidates:,} lists have no candidate with a title and were left out"
        return [
            f"{self.lists:,} lists of {self.rows:,} items",
            *([lost] if self.items_without_title else []),
            *([empty] if self.lists_without_candidates else []),
        ]


def write_rankings(
    ranker: Ranker,
    questions: Questions,
    path: Path,
    *,
    interactions: Interactions,
    titles: Sequence[str],
    lists_per_part: int = 200,
    quiet: bool = False,
) -> RankingReport:
    """Rank every question's candidates and write user_id, item_id, score, rank (from 1) and after, a row a listed item.

    `after` is how many events the history has. Finished parts lie beside `path` in a folder named by what is asked of
    whom; interrupted, the same call goes on after the last finished one. The folder goes when the file is whole.

    Args:
        titles: what the language model reads of each item, [N]; empty where there is nothing.

    Raises:
        DataError: questions, titles and interactions do not fit one another, or no candidate has a title.
    """
    _check(questions, interactions, titles)
    digest = _digest(ranker, questions, interactions, titles)
    parts = path.with_name(f"{path.name}.{digest[:12]}.parts")
    starts = range(0, len(questions), lists_per_part)
    paths = [parts / f"{start:09d}-{min(start + lists_per_part, len(questions)):09d}.parquet" for start in starts]
    missing = [(start, part) for start, part in zip(starts, paths, strict=True) if not _is_whole(part)]
    resumed = len(questions) - sum(min(lists_per_part, len(questions) - start) for start, _ in missing)
    with progress("ranking candidates", total=len(questions), start=resumed, quiet=quiet) as advance:
        for start, part in missing:
            rows = range(start, min(start + lists_per_part, len(questions)))
            _write(part, _ranked(ranker, questions, rows, interactions, titles))
            advance(len(rows))
    whole = pl.concat([pl.read_parquet(part) for part in paths])
    _write(path, whole)
    shutil.rmtree(parts)
    return _report(questions, whole, titles)


def _check(questions: Questions, interactions: Interactions, titles: Sequence[str]) -> None:
    if not len(questions) == len(questions.histories) == len(questions.candidates):
        raise DataError(
            f"there are {len(questions)} users, {len(questions.histories)} histories and {len(questions.candidates)} "
            "lists of candidates; expected as many of each"
        )
    if len(titles) != interactions.n_items:
        raise DataError(f"there are {len(titles):,} titles for {interactions.n_items:,} items; expected one each")
    asked = list(zip(questions.users.tolist(), questions.histories.lengths.tolist(), strict=True))
    if len(set(asked)) < len(asked):
        raise DataError("two questions are for one user after as many events; expected one. Leave one out")
    for row, candidates in enumerate(questions.candidates):
        if len(np.unique(candidates)) < len(candidates):
            raise DataError(f"question {row} (from 0) has a candidate twice; expected each once")
    if not any(titles[item].strip() for item in np.unique(questions.candidates.values).tolist()):
        raise DataError(f"none of the candidates of {len(questions):,} questions has a title; there is nothing to rank")


def _digest(ranker: Ranker, questions: Questions, interactions: Interactions, titles: Sequence[str]) -> str:
    arrays = {
        "users": questions.users,
        "histories": questions.histories.values,
        "histories/offsets": questions.histories.offsets,
        "candidates": questions.candidates.values,
        "candidates/offsets": questions.candidates.offsets,
    }
    ids = [interactions.users["user_id"].to_list(), interactions.items["item_id"].to_list()]
    return sha256_of_value([ranker.digest(), sha256_of_arrays(arrays), ids, list(titles)])


def _ranked(
    ranker: Ranker, questions: Questions, rows: range, interactions: Interactions, titles: Sequence[str]
) -> pl.DataFrame:
    """The lists of some questions, best item first."""
    candidates = [[item for item in questions.candidates[row].tolist() if titles[item].strip()] for row in rows]
    histories = [[titles[item] for item in questions.histories[row].tolist() if titles[item].strip()] for row in rows]
    scores = ranker.rank(histories, [[titles[item] for item in listed] for listed in candidates])  # [B, K]
    tables = [
        _table(listed, scores[place, : len(listed)], int(questions.users[row]), len(questions.histories[row]))
        for place, (row, listed) in enumerate(zip(rows, candidates, strict=True))
    ]
    table = pl.concat(tables)
    return table.with_columns(
        user_id=interactions.users["user_id"].gather(table["user_id"]),
        item_id=interactions.items["item_id"].gather(table["item_id"]),
    )


def _table(listed: list[int], scores: FloatArray, user: int, after: int) -> pl.DataFrame:
    """One list; users and items are rows. Equal scores keep the candidates' order."""
    order = np.argsort(-scores, kind="stable")
    return pl.DataFrame(
        {
            "user_id": np.full(len(listed), user, dtype=np.int64),
            "item_id": np.array(listed, dtype=np.int64)[order],
            "score": scores[order],
            "rank": np.arange(1, len(listed) + 1),
            "after": np.full(len(listed), after, dtype=np.int64),
        }
    )


def _report(questions: Questions, whole: pl.DataFrame, titles: Sequence[str]) -> RankingReport:
    lists = whole.select("user_id", "after").n_unique()
    items = np.unique(questions.candidates.values).tolist()
    return RankingReport(lists, whole.height, len(questions) - lists, sum(not titles[item].strip() for item in items))


def _write(path: Path, table: pl.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.write_parquet(temporary)


def _is_whole(part: Path) -> bool:
    try:
        pl.read_parquet(part)
    except (FileNotFoundError, pl.exceptions.PolarsError):
        return False
    return True
