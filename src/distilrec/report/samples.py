"""A few users: their past, and what each model shows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from distilrec.data.interactions import Interactions
from distilrec.data.split import Split
from distilrec.report.facts import Model, Recommended, Sample
from distilrec.types import IntArray

SAMPLES, HISTORY, LENGTH = 3, 8, 10
_LONGEST, _CUT = 80, " ..."  # letters of a title, and what stands for the rest of a longer one
_BESIDE = ("teacher", "student_alone", "distilled")


def samples_of(log: tuple[Interactions, Split], models: Sequence[Model]) -> list[Sample]:
    """Users chosen by their place in the test, never by how well a model did: as far from each other as can be.

    Of those who have a few events, where there are such.
    """
    interactions, split = log
    known = {m.name: m for m in models if m.lists is not None and len(m.lists) == len(split.test)}
    shown = [known[name] for name in _BESIDE if name in known]
    if not shown:
        return []
    lengths = split.test.histories.lengths
    able = np.flatnonzero(lengths >= min(HISTORY, int(np.median(lengths))))
    places = np.unique((np.arange(SAMPLES) * 2 + 1) * len(able) // (2 * SAMPLES))
    return [_sample(int(able[place]), interactions, split, shown) for place in places]


def _sample(case: int, interactions: Interactions, split: Split, shown: Sequence[Model]) -> Sample:
    test, items = split.test, interactions.items
    chosen, rows = test.relevant[case], {model.name: _list(model, case) for model in shown}
    taught = set(rows.get("teacher", ()))
    lists = {
        model.title: [
            Recommended(title, item in chosen, model.name != "teacher" and item in taught)
            for title, item in zip(_titles(items, np.array(rows[model.name])), rows[model.name], strict=True)
        ]
        for model in shown
    }
    user = str(interactions.users["user_id"][int(test.users[case])])
    return Sample(user, _titles(items, test.histories[case][-HISTORY:]), _titles(items, chosen), lists)


def _list(model: Model, case: int) -> list[int]:
    assert model.lists is not None
    return [int(item) for item in model.lists[case][:LENGTH] if item >= 0]


def _titles(items: pl.DataFrame, rows: IntArray) -> list[str]:
    """Titles, shortened where they are very long, and ids where there are none."""
    ids = items["item_id"].gather(rows).cast(pl.String).to_list()
    if "title" not in items.columns:
        return [f"item {one}" for one in ids]
    titles = items["title"].gather(rows).cast(pl.String).to_list()
    return [_shortened(title or "") or f"item {one}" for title, one in zip(titles, ids, strict=True)]


def _shortened(title: str) -> str:
    """On one line, cut where a word ends, and within one where it is long: many languages write no spaces."""
    line = " ".join(title.split())
    if len(line) <= _LONGEST:
        return line
    begin = line[: _LONGEST - len(_CUT)]
    words = begin.rpartition(" ")[0]
    return (words if len(words) > _LONGEST // 2 else begin) + _CUT
