"""The files through which a peer hears and answers. Imported in the peers' environments: nothing of ours is here.

Heard, in a folder: `train.parquet` (user, items), `validation.parquet` and `test.parquet` (user, history, relevant),
all as row numbers, oldest first, a row a user; `about.json` (n_items).

Answered, in another: for each split `SPLIT.histories.npy` [C, D] beside `items.npy` [N, D], whose products are the
scores; or `SPLIT.items.npy` and `SPLIT.scores.npy` [C, K], the best items and their scores; and `report.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = list[NDArray[np.int64]]
NEVER = -1e9  # the score of an item that the peer has no vector for


@dataclass(frozen=True)
class Cases:
    """What a split asks: the history of each user, and the one item that came next."""

    users: NDArray[np.int64]  # [C]
    histories: Rows
    answers: NDArray[np.int64]  # [C]


@dataclass(frozen=True)
class Heard:
    """What our side wrote."""

    n_items: int
    users: NDArray[np.int64]  # of the rows of train
    train: Rows
    validation: Cases
    test: Cases


def read(folder: Path) -> Heard:
    """Read what our side wrote."""
    import pyarrow.parquet as parquet

    train = parquet.read_table(folder / "train.parquet")
    splits = {name: parquet.read_table(folder / f"{name}.parquet") for name in ("validation", "test")}
    cases = {
        name: Cases(
            table["user"].to_numpy(), _rows(table["history"]), np.array([row[0] for row in _rows(table["relevant"])])
        )
        for name, table in splits.items()
    }
    n_items = json.loads((folder / "about.json").read_text())["n_items"]
    return Heard(n_items, train["user"].to_numpy(), _rows(train["items"]), cases["validation"], cases["test"])


def _rows(column: Any) -> Rows:  # noqa: ANN401  (pyarrow has no types)
    joined = column.combine_chunks()
    offsets, values = joined.offsets.to_numpy(), joined.values.to_numpy()
    return [values[begin:end] for begin, end in pairwise(offsets)]


def padded(histories: Sequence[NDArray[np.int64]], length: int) -> NDArray[np.int64]:
    """The newest items of each history, 0 on the left where there are fewer: [C, length]."""
    rows = np.zeros((len(histories), length), dtype=np.int64)
    for row, history in zip(rows, histories, strict=True):
        newest = history[-length:]
        row[length - len(newest) :] = newest
    return rows


def ndcg_at_10(histories: NDArray[np.float32], items: NDArray[np.float32], cases: Cases) -> float:
    """Mean NDCG@10 of one answer a case, the history left out, ties against the model; chosen by, not reported."""
    total = 0.0
    for start in range(0, len(histories), 512):
        scores = histories[start : start + 512] @ items.T  # [B, N]
        answers = cases.answers[start : start + 512]
        of_answer = scores[np.arange(len(scores)), answers]
        for row, history in zip(scores, cases.histories[start : start + 512], strict=True):
            row[history] = -np.inf
        ranks = (scores >= of_answer[:, None]).sum(axis=1)
        total += float((1 / np.log2(1 + ranks[ranks <= 10])).sum())
    return total / len(histories)


def lists_ndcg_at_10(items: NDArray[np.int64], cases: Cases) -> float:
    """The same of ranked lists [C, K] without the history."""
    _, places = np.nonzero(items[:, :10] == cases.answers[:, None])
    return float((1 / np.log2(2 + places)).sum()) / len(items)


def matrix(rows: Rows, n_items: int) -> Any:  # noqa: ANN401  (scipy has no types)
    """Who took what, as a sparse matrix of ones, [rows, N]."""
    from scipy.sparse import csr_matrix

    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    values = np.concatenate(rows)
    found = csr_matrix((np.ones(len(values), dtype=np.float32), values, offsets), shape=(len(rows), n_items))
    found.sum_duplicates()
    found.data[:] = 1
    return found


def write_vectors(
    folder: Path,
    items: NDArray[np.float32],
    known: NDArray[np.bool_],
    histories: dict[str, NDArray[np.float32]],
) -> None:
    """Write vectors; items that are not `known` [N] are scored below all others by a column of their own."""
    never = np.where(known, 0, NEVER).astype(np.float32)[:, None]
    _save(folder / "items.npy", np.hstack([np.where(known[:, None], items, 0), never]))
    for split, vectors in histories.items():
        _save(folder / f"{split}.histories.npy", np.hstack([vectors, np.ones((len(vectors), 1))]))


def write_lists(folder: Path, split: str, items: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
    """Write the best items of each case and their scores, [C, K]; -1 where a list is shorter."""
    _save(folder / f"{split}.items.npy", items, np.int64)
    _save(folder / f"{split}.scores.npy", scores)


def write_report(folder: Path, **facts: Any) -> None:  # noqa: ANN401  (anything JSON holds)
    """Write what is known of the model: parameters, epochs, seconds, validation after each epoch, finished."""
    beside = folder / ".report.json"
    beside.write_text(json.dumps(facts, indent=2))
    beside.replace(folder / "report.json")


def _save(path: Path, array: NDArray[Any], kind: type = np.float32) -> None:
    beside = path.with_name(f".{path.name}")
    with beside.open("wb") as file:
        np.save(file, array.astype(kind), allow_pickle=False)
    beside.replace(path)
