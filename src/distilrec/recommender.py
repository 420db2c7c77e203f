"""A recommender as its users see it: outside ids in, a frame of recommendations out, saved as one folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from distilrec.artifact import read_artifact, write_artifact
from distilrec.card import write_card
from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.evaluate.products import Products
from distilrec.ids import IdIndex
from distilrec.models.kinds import Model, OfVectors, rebuild
from distilrec.storage.packed import Packed
from distilrec.types import Batch, FloatArray, IntArray

POPULARITY_COLUMN = "train_count"
Id = int | str
Histories = Sequence[Id] | Sequence[Sequence[Id]] | Mapping[Id, Sequence[Id]]

_RECOMMEND_BATCH = 256


class UnknownItemsWarning(UserWarning):
    """A history names items that the catalogue lacks; they were left out."""


class Recommender:
    """A model, its catalogue, and what is known of how both came about.

    It is a `Scorer`: it can be evaluated as it is. A history without a single known item gets the popular items.
    """

    def __init__(
        self,
        model: Model,
        items: pl.DataFrame,
        *,
        about: Mapping[str, Any] | None = None,
        packed: Packed | None = None,
    ) -> None:
        """Put a model and its catalogue together.

        Args:
            items: row i describes item i; columns `item_id` and `train_count` (how often it was chosen in
                training, for those without a history), then whatever is worth showing, such as `title`.
            about: facts kept in the artefact: data, metrics, settings.
            packed: the model's state as it is to be stored, where that is not plain; `model` is made of what it
                decodes to.
        """
        _check_catalogue(items)
        if items.height != model.n_items:
            raise ArtifactError(f"the model ranks {model.n_items} items, but the catalogue has {items.height}")
        self.model, self.items, self.about, self.packed = model, items, dict(about or {}), packed
        self._index = IdIndex(items["item_id"])
        self._popularity = np.log1p(items[POPULARITY_COLUMN].cast(pl.Float32).to_numpy())  # [N]

    @property
    def n_items(self) -> int:
        """How many items are ranked, N."""
        return self.model.n_items

    @property
    def max_length(self) -> int | None:
        """How many of the newest items of a history are read; none means all."""
        return getattr(self.model, "max_length", None)

    def scores(self, batch: Batch) -> FloatArray:
        """A score for every item after each history, [B, N]; popularity where the history is empty."""
        scores = self.model.scores(batch)
        empty = batch.lengths == 0
        if empty.any():
            scores = np.where(empty[:, None], self._popularity, scores)
        return scores

    def products(self) -> Products | None:
        """The same scores as products of vectors, which are ranked faster; None for a model of another form.

        One column more than the model's holds the popularity, for which an empty history asks and no other does.
        """
        model = self.model
        if not isinstance(model, OfVectors):
            return None
        items = np.concatenate([model.item_table(), self._popularity[:, None]], axis=1)  # [N, D + 1]

        def read(batch: Batch) -> FloatArray:
            empty = (batch.lengths == 0)[:, None]  # [B, 1]
            vectors = np.where(empty, np.float32(0), model.newest_vectors(batch))  # [B, D]
            return np.concatenate([vectors, empty.astype(np.float32)], axis=1)  # [B, D + 1]

        return Products(items, read, self.max_length)

    def recommend(self, history: Histories, *, k: int = 10, exclude_history: bool = True) -> pl.DataFrame:
        """The best items for one user or many.

        Args:
            history: item ids, oldest first: `[50, 181]`; for many users a list of such lists, or a mapping of
                user ids to them. Ids may be given as numbers or as text.
            k: how many items a user.
            exclude_history: leave out what the user already has.

        Returns:
            A frame `user_id, item_id, score, rank`, best first. Where no user ids were given they are 0, 1, ...

        Warns:
            UnknownItemsWarning: some ids are not in the catalogue; the rest of the history is used.
        """
        users, histories = _users_and_histories(history)
        if not 1 <= k <= self.n_items:
            raise SettingsError(f"k is {k}; expected 1 to {self.n_items}, the size of the catalogue")
        rows = [self._index.rows(items) for items in histories]
        _report_unknown(histories, rows)
        rows = [found[found >= 0] for found in rows]
        frames = []
        for start in range(0, len(rows), _RECOMMEND_BATCH):
            part = slice(start, start + _RECOMMEND_BATCH)
            frames.append(self._best(users[part], rows[part], k, exclude_history))
        return pl.concat(frames)

    def _best(self, users: list[Id], rows: list[IntArray], k: int, exclude_history: bool) -> pl.DataFrame:
        scores = self.scores(Batch.of(rows, max_length=self.max_length))  # [B, N]
        if exclude_history:
            for user, seen in enumerate(rows):
                scores[user, seen] = -np.inf
        items = top_items(scores, k)  # [B, k]
        best = np.take_along_axis(scores, items, axis=1)
        found = np.isfinite(best).ravel()
        frame = pl.DataFrame(
            {
                "user_id": pl.Series(users).gather(np.repeat(np.arange(len(users)), k)),
                "item_id": self.items["item_id"].gather(items.ravel()),
                "score": best.ravel(),
                "rank": np.tile(np.arange(1, k + 1), len(users)),
            }
        )
        return frame.filter(pl.Series(found))

    def save_pretrained(self, folder: str | Path, *, card: str | None = None) -> None:
        """Write the artefact: `config.json`, `model.safetensors`, `items.parquet` and a model card."""
        text = card if card is not None else write_card(self.config())
        state, stored = self.model.state(), None
        if self.packed is not None:
            _check_packed(self.packed, state)
            state, stored = dict(self.packed.arrays), self.packed.described()
        write_artifact(Path(folder), config=self.config(), tensors=state, items=self.items, card=text, stored=stored)

    def config(self) -> dict[str, Any]:
        """What `config.json` says of the model."""
        return {
            "model": {"kind": self.model.kind, "settings": self.model.settings.model_dump(mode="json")},
            "n_items": self.n_items,
            "n_parameters": self.model.n_parameters,
            "about": self.about,
        }

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load an artefact; every file is checked against its digest."""
        artifact = read_artifact(Path(folder))
        try:
            described = artifact.config["model"]
            kind, settings = described["kind"], described["settings"]
        except (KeyError, TypeError):
            raise ArtifactError(
                f"{folder}/config.json does not say which model it is (model.kind, model.settings)"
            ) from None
        about = artifact.config.get("about")
        if not artifact.stored:
            return cls(rebuild(kind, settings, artifact.tensors), artifact.items, about=about)
        packed = Packed.read(artifact.tensors, artifact.stored)
        return cls(rebuild(kind, settings, packed.state()), artifact.items, about=about, packed=packed)


def top_items(scores: FloatArray, k: int) -> IntArray:
    """Row numbers of the k highest scores, best first; of equal scores the lower row number, [B, k]."""
    if np.isnan(scores).any():
        raise ArtifactError("the model gave NaN as a score; its weights are damaged or far too large")
    least = np.partition(scores, -k, axis=1)[:, -k, None]  # only its value: which of equals it is can vary
    users, items = np.nonzero(scores >= least)  # at least k a user, by rising row number
    order = np.lexsort((-scores[users, items], users))
    begins = np.searchsorted(users, np.arange(len(scores)))
    best: IntArray = items[order][begins[:, None] + np.arange(k)]
    return best


def _users_and_histories(history: Histories) -> tuple[list[Id], list[Sequence[Id]]]:
    if isinstance(history, str | bytes):
        raise DataError(f"history is text ({history!r}); expected a list of item ids, such as [50, 181]")
    if isinstance(history, Mapping):
        kinds = {type(user) for user in history}
        if len(kinds) > 1:
            raise DataError(f"user ids mix {' and '.join(sorted(kind.__name__ for kind in kinds))}; use one of them")
        if not history:
            raise DataError("history is an empty mapping; expected at least one user")
        return list(history.keys()), [_checked(items) for items in history.values()]
    if _is_list(history) and any(_is_list(entry) for entry in history):
        return list(range(len(history))), [_checked(entry) for entry in history]
    return [0], [_checked(history)]


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence | np.ndarray | pl.Series) and not isinstance(value, str | bytes)


def _checked(items: Any) -> Sequence[Id]:  # noqa: ANN401  (whatever the caller gave)
    if not _is_list(items):
        raise DataError(f"a history is {items!r}; expected a list of item ids")
    return list(items)


def _report_unknown(histories: Sequence[Sequence[Id]], rows: Sequence[IntArray]) -> None:
    ids = (value for history in histories for value in history)
    found = (row for history_rows in rows for row in history_rows)
    unknown = list(dict.fromkeys(repr(value) for value, row in zip(ids, found, strict=True) if row < 0))
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        warnings.warn(
            f"not in the catalogue, so left out of the history: {', '.join(unknown[:5])}{more}",
            UnknownItemsWarning,
            stacklevel=3,  # the line that asked for recommendations
        )


def _check_packed(packed: Packed, state: Mapping[str, Any]) -> None:
    """Refuse to save what is not the model: training a loaded model goes past the forms that it is stored in."""
    decoded = packed.state()
    other = [name for name in state if name not in decoded or not np.array_equal(decoded[name], state[name])]
    if other or decoded.keys() != state.keys():
        named = ", ".join(other[:3]) or "an array too many"
        raise ArtifactError(
            f"the model is no longer the one that is stored compressed ({named}); save it as Recommender(model, "
            "items), and compress that"
        )


def _check_catalogue(items: pl.DataFrame) -> None:
    missing = [column for column in ("item_id", POPULARITY_COLUMN) if column not in items.columns]
    if missing:
        raise DataError(f"the catalogue lacks {', '.join(missing)}; it has {', '.join(items.columns)}")
    if items["item_id"].is_duplicated().any() or items["item_id"].has_nulls():
        raise DataError("the catalogue names an item twice, or has an item without id; expected one row an item")
    counts = items[POPULARITY_COLUMN]
    if not counts.dtype.is_numeric() or counts.has_nulls() or not (counts >= 0).all():
        raise DataError(f"the catalogue's {POPULARITY_COLUMN} must hold a number from 0 for every item")
