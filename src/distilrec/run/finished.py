"""A finished run: its results, its artefact, and a sample of what it recommends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from distilrec.ids import IdIndex
from distilrec.recommender import Id, Recommender
from distilrec.run.recipe import Recipe
from distilrec.run.results import Results
from distilrec.run.stages import Prepared
from distilrec.types import IntArray

_EXAMPLE_HISTORY = 8


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    recipe: Recipe
    results: Results
    prepared: Prepared

    @property
    def artefact(self) -> Path:
        """Where the distilled student lies."""
        return self.folder / "artefact"

    def example_history(self) -> list[Id]:
        """The test history, with outside ids, of the first user who has a few events."""
        test = self.prepared.split.test
        return outside_ids(self.prepared, test.histories[self._example()])

    def sample(self, k: int) -> Sample:
        """The example user's last k items beside the k best recommendations; fewer where there are no more."""
        test, items = self.prepared.split.test, self.prepared.interactions.items
        case = self._example()
        recommender = Recommender.from_pretrained(self.artefact)
        found = recommender.recommend(self.example_history(), k=min(k, recommender.n_items))
        index = IdIndex(items["item_id"])
        return Sample(
            user_id=self.prepared.interactions.users["user_id"][int(test.users[case])],
            history=_titles(items, test.histories[case][-k:]),
            recommended=_titles(items, index.rows(found["item_id"])),
            chosen=", ".join(_titles(items, test.relevant[case])),
        )

    def _example(self) -> int:
        lengths = self.prepared.split.test.histories.lengths
        return int(np.argmax(lengths >= min(_EXAMPLE_HISTORY, int(lengths.max()))))


@dataclass(frozen=True)
class Sample:
    """One user's past and what is recommended, as titles; ids where the catalogue has no titles."""

    user_id: Id
    history: list[str]
    recommended: list[str]
    chosen: str


def some_histories(prepared: Prepared, *, most: int = 100) -> list[list[Id]]:
    """Histories of test users, spread evenly, with outside ids."""
    histories = prepared.split.test.histories
    chosen = np.linspace(0, len(histories) - 1, num=min(most, len(histories)), dtype=np.int64)
    return [outside_ids(prepared, histories[int(row)]) for row in chosen]


def outside_ids(prepared: Prepared, rows: IntArray) -> list[Id]:
    """Item ids as the log has them."""
    return prepared.interactions.items["item_id"].gather(rows).to_list()


def _titles(items: pl.DataFrame, rows: IntArray) -> list[str]:
    column = items["title"] if "title" in items.columns else items["item_id"]
    names = column.gather(rows).cast(pl.String).to_list()
    return [name or "(no title)" for name in names]
