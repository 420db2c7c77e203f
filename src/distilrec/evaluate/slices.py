"""Cases in groups: how well a model does for whom, and for which answers.

A mean over all users hides whom it fails. A slicing names groups of cases; every group is measured among the whole
catalogue, as ever, and carries its count and its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.beyond import cases_in_tail, tail_items
from distilrec.evaluate.bootstrap import Interval, bootstrap_interval
from distilrec.evaluate.columns import in_quarters, labels_of
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.ranking import owners_of
from distilrec.types import Cases, IntArray

BoolArray = NDArray[np.bool_]
LENGTHS = (5, 10, 20, 50)
FEW = 5
_MOST_GROUPS = 10
_REST = "all others"


@dataclass(frozen=True, eq=False)
class Slicing:
    """Groups of cases by one thing about them. A case may be in several groups, or in none; no group is empty."""

    name: str
    groups: Mapping[str, BoolArray]  # label -> which cases, [C]


@dataclass(frozen=True)
class Slice:
    """What an evaluation found for one group."""

    slicing: str
    label: str
    n: int
    interval: Interval


def slice_table(found: Evaluation, slicings: Sequence[Slicing], *, metric: str = "ndcg@10") -> list[Slice]:
    """The metric of every group, with its interval over the users of the group."""
    values, rows = found.values(metric), []
    for slicing in slicings:
        for label, members in slicing.groups.items():
            check_members(members, found)
            chosen = values[members]
            rows.append(Slice(slicing.name, label, len(chosen), bootstrap_interval(chosen)))
    return rows


def standard_slicings(cases: Cases, counts: IntArray) -> list[Slicing]:
    """What nearly everybody asks: history, popularity of the answer, cold users and items; those that part the cases.

    Args:
        counts: how often each item was chosen in training, [N].
    """
    found = (
        by_history_length(cases),
        by_target_popularity(cases, counts),
        by_cold_users(cases),
        by_cold_items(cases, counts),
    )
    return [slicing for slicing in found if len(slicing.groups) > 1]


def by_history_length(cases: Cases, edges: Sequence[int] = LENGTHS) -> Slicing:
    """By how many events the history has; each edge begins a group."""
    if not edges or list(edges) != sorted(set(edges)) or edges[0] < 1:
        raise SettingsError(f"edges {list(edges)} are no lengths in rising order; expected such as 5, 10, 20")
    begins = [0, *edges]
    labels = [_span(begin, end - 1) for begin, end in pairwise(begins)]
    group = np.searchsorted(edges, cases.histories.lengths, side="right")
    return _partition("events in the history", [*labels, f"{edges[-1]} or more"], group)


def by_target_popularity(
    cases: Cases, counts: IntArray, *, head_share: float = 1 / 3, tail_share: float = 1 / 3
) -> Slicing:
    """By how popular the answers are: the head is the fewest items that hold `head_share` of the events, and so on.

    A case that asks for several items is in a group if all of them are, else in "of several groups".
    """
    not_head, tail = tail_items(counts, head_share=head_share), tail_items(counts, head_share=1 - tail_share)
    unseen = counts == 0
    of_items = {
        "head": ~not_head,
        "middle": not_head & ~tail,
        "tail": tail & not_head & ~unseen,
        "never seen in training": unseen,
    }
    groups = {label: cases_in_tail(cases, items) for label, items in of_items.items()}
    groups["of several groups"] = ~np.any(list(groups.values()), axis=0)
    return _slicing("popularity of the answer", groups)


def by_cold_users(cases: Cases, *, most: int = FEW) -> Slicing:
    """Users with at most that many events in the history, and the others."""
    cold = cases.histories.lengths <= most
    return _slicing("cold users", {f"at most {most} events": cold, "others": ~cold})


def by_cold_items(cases: Cases, counts: IntArray, *, most: int = FEW) -> Slicing:
    """Cases that ask for nothing but items that were chosen at most that often in training, and the others."""
    cold = cases_in_tail(cases, counts <= most)
    return _slicing("cold items", {f"chosen at most {most} times": cold, "others": ~cold})


def by_user_column(cases: Cases, users: pl.DataFrame, column: str, *, separator: str | None = None) -> Slicing:
    """By a column of the table of users, whose row i is user i."""
    asked = pl.DataFrame({"case": np.arange(len(cases)), "row": cases.users})
    return _joined(column, asked, labels_of(users, column, separator, "users"), len(cases))


def by_item_column(cases: Cases, items: pl.DataFrame, column: str, *, separator: str | None = None) -> Slicing:
    """By a column of the catalogue, of the items that are asked for.

    Of a list, by each of its entries; of text that `separator` parts, such as "Comedy|Drama", by each part. Numbers of
    many kinds are put into quarters.
    """
    asked = pl.DataFrame({"case": owners_of(cases.relevant), "row": cases.relevant.values})
    return _joined(f"{column} of the answer", asked, labels_of(items, column, separator, "items"), len(cases))


def check_members(members: BoolArray, found: Evaluation) -> None:
    """Refuse groups of other cases."""
    if len(members) != len(found.per_user):
        raise DataError(
            f"groups were made of {len(members)} cases, but {len(found.per_user)} were evaluated; make them of the same"
        )


def _joined(name: str, asked: pl.DataFrame, labels: pl.DataFrame, n_cases: int) -> Slicing:
    """Groups by label, the largest first; small ones beyond the tenth are joined."""
    labels = labels.with_columns(label=in_quarters(labels["label"], most=_MOST_GROUPS))
    pairs = asked.join(labels, on="row").select("case", "label").unique()
    sizes = pairs.group_by("label").len().sort(["len", "label"], descending=[True, False])
    named = sizes["label"].to_list()
    if len(named) > _MOST_GROUPS:
        named = named[: _MOST_GROUPS - 1]
        pairs = pairs.with_columns(label=pl.when(pl.col("label").is_in(named)).then("label").otherwise(pl.lit(_REST)))
        named = list(dict.fromkeys([*named, _REST]))
    groups = {}
    for label in named:
        groups[label] = np.zeros(n_cases, dtype=np.bool_)
        groups[label][pairs.filter(pl.col("label") == label)["case"].to_numpy()] = True
    return _slicing(name, groups)


def _partition(name: str, labels: Sequence[str], group: IntArray) -> Slicing:
    return _slicing(name, {label: group == number for number, label in enumerate(labels)})


def _slicing(name: str, groups: Mapping[str, BoolArray]) -> Slicing:
    return Slicing(name, {label: members for label, members in groups.items() if members.any()})


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
