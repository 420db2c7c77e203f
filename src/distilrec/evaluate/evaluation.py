"""Judge any scorer on held-out cases: rank the whole catalogue, keep every user's values, say how sure we are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.evaluate.accuracy import METRICS_AT_K, auc, mrr
from distilrec.evaluate.bootstrap import Interval, bootstrap_interval, bootstrap_intervals
from distilrec.evaluate.lists import TopLists
from distilrec.evaluate.products import as_products, rank_products
from distilrec.evaluate.ranking import check_cutoffs
from distilrec.evaluate.scoring import BATCH_SIZE, Watch, rank_cases
from distilrec.files import atomic_path, sha256_of_arrays, write_json
from distilrec.types import Cases, IntArray, Ragged, Scorer

TIES = "against the model"
_ABOUT_THE_CASE = ("user", "history_length", "n_relevant", "n_pairs")
_FORMAT = 1
_KEY = "distilrec.evaluation"  # the name of our entry in the Parquet file's own metadata


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one evaluation found. `per_user` has a row per case and, after three columns about it, one per metric."""

    per_user: pl.DataFrame  # user, history_length, n_relevant, then ndcg@5, ... mrr
    protocol: dict[str, Any]  # split, exclude_history, n_items, cutoffs, ties, cases (a digest)

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics, in the order of the columns."""
        return [name for name in self.per_user.columns if name not in _ABOUT_THE_CASE]

    def values(self, metric: str) -> NDArray[np.float64]:
        """One number per user."""
        if metric not in self.metrics:
            raise SettingsError(f"metric {metric!r} was not measured; present: {', '.join(self.metrics)}")
        return self.per_user[metric].to_numpy()

    def mean(self, metric: str) -> float:
        """The mean over users."""
        return float(self.values(metric).mean())

    def interval(self, metric: str, level: float = 0.95) -> Interval:
        """The mean with its bootstrap interval over users."""
        return bootstrap_interval(self.values(metric), level=level)

    def summary(self) -> dict[str, Interval]:
        """Every metric with its 95 % interval."""
        return dict(self._summary)

    @cached_property
    def _summary(self) -> dict[str, Interval]:
        intervals = bootstrap_intervals(self.per_user.select(self.metrics).to_numpy())
        return dict(zip(self.metrics, intervals, strict=True))

    def with_columns(self, more: pl.DataFrame) -> Evaluation:
        """The same with further metrics, a row a case: slices, intervals and comparisons then know them too."""
        if more.height != self.per_user.height:
            raise DataError(f"{more.height} rows for {self.per_user.height} cases; expected one each, in their order")
        twice = [name for name in more.columns if name in self.per_user.columns]
        if twice:
            raise DataError(f"{', '.join(twice)} is there already; name the new metrics otherwise")
        return replace(self, per_user=self.per_user.hstack(more))

    def save(self, folder: Path) -> None:
        """Write `per_user.parquet`, which holds everything, and `summary.json`, for people and other programs."""
        entry = json.dumps({"format": _FORMAT, "protocol": self.protocol})
        with atomic_path(folder / "per_user.parquet") as temporary:
            self.per_user.write_parquet(temporary, metadata={_KEY: entry})
        metrics = {name: vars(interval) for name, interval in self.summary().items()}
        write_json(
            folder / "summary.json",
            {"users": len(self.per_user), "level": 0.95, "metrics": metrics, "protocol": self.protocol},
        )

    @classmethod
    def load(cls, folder: Path) -> Evaluation:
        """Read back what `save` wrote."""
        path = folder / "per_user.parquet"
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist; expected a folder that an evaluation was saved in")
        try:
            entry = pl.read_parquet_metadata(path).get(_KEY)
            per_user = pl.read_parquet(path)
        except pl.exceptions.ComputeError as error:
            raise ArtifactError(f"{path} is damaged and cannot be read ({error}); evaluate again") from None
        if entry is None:
            raise ArtifactError(f"{path} is a Parquet file, but not one that an evaluation wrote")
        return cls(per_user, _read_protocol(entry, path))


def evaluate(
    scorer: Scorer,
    cases: Cases,
    *,
    cutoffs: Sequence[int] = (5, 10, 20),
    exclude_history: bool = True,
    batch_size: int = BATCH_SIZE,
    split: str | None = None,
    watch: Watch | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Rank the whole catalogue for every case.

    How the scorer is asked: `scoring.scored_batches`; one whose scores are products (`products.as_products`) is ranked
    in chunks of the catalogue, unless somebody watches other than to note lists. What is excluded is always the whole
    history. An item that is relevant twice in a case counts once. `split` names where the cases come from and is kept
    in the protocol. `watch` is shown the numbers of some cases `[B]` at a time and their scores `[B, N]`, -infinity
    where an item is excluded.
    """
    _check_cases(cases)
    digest = digest_of_cases(cases)
    cases = replace(cases, relevant=_each_once(cases.relevant))
    check_cutoffs(cutoffs, scorer.n_items)
    lists = watch if isinstance(watch, TopLists) else None
    products = as_products(scorer) if watch is lists else None
    if products is not None:
        ranks, n_ranked = rank_products(products, cases, exclude_history=exclude_history, lists=lists, quiet=quiet)
    else:
        ranks, n_ranked = rank_cases(
            scorer, cases, exclude_history=exclude_history, batch_size=batch_size, watch=watch, quiet=quiet
        )
    protocol = {
        "split": split,
        "exclude_history": exclude_history,
        "n_items": scorer.n_items,
        "cutoffs": list(cutoffs),
        "ties": TIES,
        "cases": digest,
    }
    return Evaluation(_frame(cases, ranks, n_ranked, cutoffs), protocol)


def average(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The mean of every user's values over several seeds of one model, measured on the same cases.

    Its intervals tell how far other users would move the mean; the spread between seeds is not in them.
    """
    if not evaluations:
        raise DataError("there are no evaluations to average; expected at least one")
    first = evaluations[0]
    for other in evaluations[1:]:
        check_same_cases(first, other, names=("the first evaluation", "another"))
        if other.metrics != first.metrics:
            raise DataError(f"evaluations to average have different metrics: {first.metrics} and {other.metrics}")
    tables = [evaluation.per_user.select(first.metrics).to_numpy() for evaluation in evaluations]
    means = pl.DataFrame(np.mean(tables, axis=0), schema=first.metrics)
    return Evaluation(first.per_user.drop(first.metrics).hstack(means), first.protocol)


def check_same_cases(a: Evaluation, b: Evaluation, *, names: tuple[str, str]) -> None:
    """Refuse two evaluations that did not ask the same questions; cut-offs may differ."""
    differences = [
        f"{meaning} ({a.protocol.get(key)} in {names[0]}, {b.protocol.get(key)} in {names[1]})"
        for key, meaning in _MUST_AGREE.items()
        if a.protocol.get(key) != b.protocol.get(key)
    ]
    if differences:
        raise DataError(
            f"{names[0]} and {names[1]} cannot be put side by side, because they differ in "
            f"{'; '.join(differences)}. Evaluate both on the same cases in the same way"
        )


_MUST_AGREE = {
    "n_items": "the number of items in the catalogue",
    "split": "the split",
    "cases": "the cases: users, histories or relevant items",
    "exclude_history": "whether the history is excluded",
    "ties": "how ties are ranked",
}


def digest_of_cases(cases: Cases) -> str:
    """A digest of the users, histories and relevant items, in their order."""
    histories, relevant = cases.histories, cases.relevant
    return sha256_of_arrays(
        {
            "users": cases.users,
            "history_items": histories.values,
            "history_offsets": histories.offsets,
            "relevant_items": relevant.values,
            "relevant_offsets": relevant.offsets,
        }
    )


def _each_once(rows: Ragged) -> Ragged:
    """Every row without its repeats, the first of each kept in its place."""
    owners = np.repeat(np.arange(len(rows)), rows.lengths)
    above_least = rows.values - rows.values.min()
    _, first = np.unique(owners * (above_least.max() + 1) + above_least, return_index=True)
    kept = np.sort(first)
    counts = np.bincount(owners[kept], minlength=len(rows))
    return Ragged(rows.values[kept], np.concatenate([[0], np.cumsum(counts)]))


def _frame(cases: Cases, ranks: Ragged, n_ranked: IntArray, cutoffs: Sequence[int]) -> pl.DataFrame:
    about = {
        "user": cases.users,
        "history_length": cases.histories.lengths,
        "n_relevant": cases.relevant.lengths,
    }
    at_k = {f"{name}@{k}": metric(ranks, k) for k in cutoffs for name, metric in METRICS_AT_K.items()}
    return pl.DataFrame({**about, **at_k, "mrr": mrr(ranks), "auc": auc(ranks, n_ranked)})


def _check_cases(cases: Cases) -> None:
    if not len(cases):
        raise DataError("there are no cases to evaluate; the split left no user with a held-out item")
    if not len(cases.users) == len(cases.histories) == len(cases.relevant):
        raise DataError(
            f"cases have {len(cases.users)} users, {len(cases.histories)} histories and {len(cases.relevant)} rows "
            "of relevant items; expected as many of each"
        )
    users, counts = np.unique(cases.users, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"user {users[counts > 1][0]} has {counts.max()} cases; expected one each, because intervals are drawn "
            "over users. Join them into one case, or evaluate them apart"
        )
    lengths = cases.relevant.lengths
    if (lengths == 0).any():
        raise DataError(f"case {int(np.argmin(lengths))} has no relevant item; expected at least one in each")


def _read_protocol(entry: str, path: Path) -> dict[str, Any]:
    content = json.loads(entry)
    if content["format"] != _FORMAT:
        raise ArtifactError(
            f"{path} has format {content['format']}; this version reads {_FORMAT}. Update distilrec to read it"
        )
    protocol: dict[str, Any] = content["protocol"]
    return protocol
