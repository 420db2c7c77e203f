"""A recommender that answers: numpy and ONNX Runtime, from outside ids to ranked outside ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from distilrec.errors import ArtifactError, SettingsError
from distilrec.exported import Exported, read_export
from distilrec.ids import IdIndex
from distilrec.search import Codes, IndexSettings, ItemIndex, index_for, pieces, rows_of
from distilrec.serve.choice import BoolArray, Catalogue, Where, joined
from distilrec.serve.encoder import OnnxEncoder, padded
from distilrec.storage import Packed
from distilrec.types import Batch, FloatArray, IntArray

Id = int | str
_ITEM_TABLE, _POPULARITY = "table.weight", "train_count"


@dataclass(frozen=True)
class Recommendations:
    """An answer, best first; shorter than was asked for where too few items are allowed."""

    item_ids: list[Any]
    scores: FloatArray
    fallback: str | None = None
    """Why these are the popular items; none where they are the user's own."""
    unknown: tuple[Id, ...] = ()
    """Ids that are not in the catalogue, and were left out."""


class Runtime:
    """An exported model. It is a `Scorer`, and threads may share it.

    A history without a single known item gets the popular items. Numpy's own threads are those of the process
    (`OPENBLAS_NUM_THREADS`), which a server sets before it starts.
    """

    def __init__(self, exported: Exported, *, threads: int = 1, index: IndexSettings | None = None) -> None:
        artifact = exported.artifact
        packed = Packed.read(artifact.tensors, artifact.stored)
        self.items, self.digest, self.max_length = artifact.items, exported.digest, exported.max_length
        self.about: dict[str, Any] = artifact.config
        self._encoder = OnnxEncoder(exported.encoder, threads=threads)
        codes = None if exported.codes is None else Codes.from_arrays(exported.codes)
        self._index: ItemIndex = index_for(packed, settings=index, codes=codes)
        self._rows = self._index.rows
        self._read = self._rows if exported.input_table == _ITEM_TABLE else rows_of(packed, exported.input_table)
        if self._rows.n_items != self.items.height:
            raise ArtifactError(f"the model ranks {self._rows.n_items} items, the catalogue has {self.items.height}")
        self._ids, self._catalogue = IdIndex(self.items["item_id"]), Catalogue(self.items)
        self._names = self._ids.values

    @classmethod
    def load(cls, folder: str | Path, *, threads: int = 1, index: IndexSettings | None = None) -> Self:
        """Load what `distilrec export` wrote; every file is checked against its digest.

        Args:
            threads: how many ONNX Runtime may use.
            index: how the best items are found; left out, what suits the table.

        Raises:
            ArtifactError: the folder is not whole, or is no exported model.
        """
        return cls(read_export(Path(folder)), threads=threads, index=index)

    @property
    def n_items(self) -> int:
        """How many items are ranked, N."""
        return self._rows.n_items

    def recommend(
        self,
        histories: Sequence[Sequence[Id]],
        *,
        k: int | Sequence[int] = 10,
        exclude_history: bool = True,
        allow: Sequence[Id] | None = None,
        block: Sequence[Id] | None = None,
        where: Where | None = None,
    ) -> list[Recommendations]:
        """The best items after each history; filters apply before the best are taken.

        Args:
            histories: item ids, oldest first, for one user or many.
            k: how many items, for all or for each.
            exclude_history: leave out what a user already has.
            allow: recommend from these items alone; ids that are not in the catalogue are passed over.
            block: never recommend these.
            where: recommend only items with these values in columns of the catalogue; several values are alternatives.

        Raises:
            SettingsError: k makes no sense, or a column is unknown.
        """
        counts = self._counts(k, len(histories))
        found = [self._ids.rows(history) for history in histories]
        known = [rows[rows >= 0] for rows in found]
        listed = None if allow is None else self._known(allow)
        mask = joined(self._catalogue.matching(where) if where else None, listed, self.n_items)
        blocked = self._known(block) if block else None
        taboo = [_without(rows if exclude_history else None, blocked) for rows in known]
        asked = [number for number, rows in enumerate(known) if len(rows)]
        best: dict[int, tuple[IntArray, FloatArray]] = {}
        if asked:
            items, scores = self._index.search(
                self._wanted([known[number] for number in asked]),
                max(counts[number] for number in asked),
                exclude=[taboo[number] for number in asked],
                allow=mask,
            )
            best = dict(zip(asked, zip(items, scores, strict=True), strict=True))
        return [
            self._answer(history, rows, best.get(number), taboo[number], mask, counts[number])
            for number, (history, rows) in enumerate(zip(histories, found, strict=True))
        ]

    def similar(self, item_ids: Sequence[Id], *, k: int = 10, where: Where | None = None) -> list[Recommendations]:
        """For each item those whose vectors point in the most similar direction (cosine), itself left out.

        Raises:
            SettingsError: an item is not in the catalogue, or k makes no sense.
        """
        count = self._counts(k, 1)[0]
        rows = self._ids.rows(item_ids)
        if (rows < 0).any():
            strange = item_ids[int(np.argmax(rows < 0))]
            raise SettingsError(f"item {strange!r} is not in the catalogue, so nothing is known to be similar to it")
        allowed = self._catalogue.matching(where) if where else None
        return [self._nearest(int(row), count, allowed) for row in rows]

    def vectors(self, histories: Sequence[Sequence[Id]]) -> FloatArray:
        """What each user wants next, [B, D].

        Raises:
            SettingsError: a history has no item of the catalogue.
        """
        known = [rows[rows >= 0] for rows in map(self._ids.rows, histories)]
        if any(not len(rows) for rows in known):
            raise SettingsError("a history has no item of the catalogue, so there is no vector of it")
        return self._wanted(known)

    def scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each history, [B, N]; popularity where the history is empty."""
        scores = np.tile(self._popularity, (len(batch), 1))
        full = np.flatnonzero(batch.lengths > 0)
        if len(full):
            wanted = self._wanted([batch.items[row, : batch.lengths[row]] for row in full])
            scores[full] = self._rows.products(wanted)
        return scores

    def _wanted(self, known: Sequence[IntArray]) -> FloatArray:
        vectors, lengths = padded([self._read.take(rows[-self.max_length :]) for rows in known])
        return self._encoder(vectors, lengths)

    def _known(self, ids: Sequence[Id]) -> IntArray:
        rows = self._ids.rows(ids)
        return rows[rows >= 0]

    def _counts(self, k: int | Sequence[int], n_histories: int) -> list[int]:
        counts = [k] * n_histories if isinstance(k, int) else list(k)
        if len(counts) != n_histories:
            raise SettingsError(
                f"there are {n_histories} histories and {len(counts)} values of k; expected one for each"
            )
        for count in counts:
            if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= self.n_items:
                raise SettingsError(f"k is {count!r}; expected 1 to {self.n_items}, the size of the catalogue")
        return counts

    def _answer(
        self,
        history: Sequence[Id],
        rows: IntArray,
        best: tuple[IntArray, FloatArray] | None,
        taboo: IntArray,
        mask: BoolArray | None,
        k: int,
    ) -> Recommendations:
        unknown = tuple(item for item, row in zip(history, rows, strict=True) if row < 0) if (rows < 0).any() else ()
        if best is None:
            why = f"none of the {len(history)} items is in the catalogue" if len(history) else "the history is empty"
            return self._named(*self._most_popular(taboo, mask, k), fallback=why, unknown=unknown)
        return self._named(best[0][:k], best[1][:k], unknown=unknown)

    def _named(
        self, items: IntArray, scores: FloatArray, *, fallback: str | None = None, unknown: tuple[Id, ...] = ()
    ) -> Recommendations:
        there = items >= 0
        if not there.all():
            items, scores = items[there], scores[there]
        return Recommendations([self._names[row] for row in items.tolist()], scores, fallback, unknown)

    @cached_property
    def _popularity(self) -> FloatArray:
        scores: FloatArray = np.log1p(self.items[_POPULARITY].cast(pl.Float32).to_numpy())
        return scores

    @cached_property
    def _by_popularity(self) -> IntArray:
        return np.argsort(-self._popularity, kind="stable")

    def _most_popular(self, taboo: IntArray, mask: BoolArray | None, k: int) -> tuple[IntArray, FloatArray]:
        order = self._by_popularity
        if mask is not None:
            order = order[mask[order]]
        best = order[: k + len(taboo)]
        best = best[~np.isin(best, taboo)][:k]
        return best, self._popularity[best]

    @cached_property
    def _lengths(self) -> FloatArray:
        """Lengths of item vectors, [N]; 1 where one is 0."""
        lengths = np.concatenate([np.sqrt(np.vecdot(part, part)) for _, part in pieces(self._rows)])
        return np.where(lengths > 0, lengths, 1).astype(np.float32)

    def _nearest(self, row: int, k: int, allowed: BoolArray | None) -> Recommendations:
        own = self._rows.take(np.array([row]))  # [1, D]
        cosines = self._rows.products(own)[0] / (self._lengths * self._lengths[row])  # [N]
        cosines[row] = -np.inf
        if allowed is not None:
            cosines[~allowed] = -np.inf
        best = np.argpartition(-cosines, min(k, self.n_items - 1))[:k] if k < self.n_items else np.arange(self.n_items)
        best = best[np.lexsort((best, -cosines[best]))]
        best = best[np.isfinite(cosines[best])]
        return self._named(best, cosines[best])


def _without(history: IntArray | None, blocked: IntArray | None) -> IntArray:
    parts = [rows for rows in (history, blocked) if rows is not None]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
