"""What is recommended: how popular it is, beside what users chose; how varied; how much of it the teacher shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from distilrec.data.interactions import Interactions
from distilrec.data.split import Split
from distilrec.errors import ArtifactError
from distilrec.evaluate.agreement import agreement
from distilrec.evaluate.beyond import Catalogue, beyond_accuracy, tail_items
from distilrec.report.facts import Model, Shown
from distilrec.report.words import share
from distilrec.run.folder import inputs_of_stage
from distilrec.types import FloatArray, IntArray

VECTORS = "vectors.npy"
GROUPS = ("head", "middle", "tail")
MEASURES: Mapping[str, str] = {
    "coverage": "share of the catalogue that is shown to at least one user",
    "gini": "how unevenly items are shown: 0 is all alike, 1 is one item alone",
    "novelty": "how surprising an item is, in bits: minus the logarithm of the share of users who chose it in training",
    "lift": "by how much what is shown is more popular than what the user had: 0 % is as popular, 100 % twice",
    "diversity": "how unlike the items of a list are by their texts: the mean of 1 - cosine",
    "overlap": "share of the list that the teacher shows too",
    "rbo": "rank-biased overlap with the teacher's list: 1 is the same list in the same order",
}
"""What is told of each model's lists, and what it means."""
_SHORT = {"popularity_lift": "lift"}
_THIRD = 1 / 3


def shown_by(log: tuple[Interactions, Split], models: Sequence[Model], vectors: FloatArray | None) -> list[Shown]:
    """A row for the catalogue, for what users chose next and for each model.

    The head is the fewest items that hold a third of the training events, the middle the next ones that do.
    """
    interactions, split = log
    counts = np.bincount(split.train.values, minlength=interactions.n_items)
    group = popularity_group(counts)  # [N]
    known = [model for model in models if model.lists is not None and len(model.lists) == len(split.test)]
    if not known:
        return []
    catalogue = Catalogue(counts, len(split.train), vectors)
    taught = next((model.lists for model in known if model.name == "teacher"), None)
    rows = [
        Shown("all items", "reference", _shares(group)),
        Shown("chosen next", "reference", _shares(group[split.test.relevant.values])),
    ]
    for model in known:
        assert model.lists is not None
        beyond = beyond_accuracy(model.lists, split.test, catalogue)
        told = {**beyond.totals, **_means(beyond.per_case)}
        if taught is not None and model.name != "teacher" and taught.shape == model.lists.shape:
            told |= _means(agreement(model.lists, taught))
        measures = {_SHORT.get(name.partition("@")[0], name.partition("@")[0]): value for name, value in told.items()}
        shown = model.lists[model.lists >= 0]
        kept = {name: measures[name] for name in MEASURES if name in measures}
        rows.append(Shown(model.title, model.role, _shares(group[shown]), kept))
    return rows


def popularity_group(counts: IntArray) -> IntArray:
    """0 for the head, 1 for the middle, 2 for the tail, [N]; `counts` says how often each was chosen in training."""
    not_head, tail = tail_items(counts, head_share=_THIRD), tail_items(counts, head_share=2 * _THIRD)
    group: IntArray = not_head.astype(np.int64) + (not_head & tail)
    return group


def measure_title(name: str) -> str:
    """As it stands above a column."""
    return {"rbo": "RBO", "gini": "Gini"}.get(name, name)


def measure_text(name: str, value: float | None) -> str:
    """A share in per cent, another number with two places, and a stroke for none."""
    if value is None:
        return "-"
    return share(value) if name in ("coverage", "lift", "overlap") else f"{value:.2f}"


def read_vectors(folder: Path, interactions: Interactions) -> FloatArray:
    """The vectors of the items' texts, [N, F].

    Raises:
        ArtifactError: they are damaged, or those of another catalogue, whose rows are other items.
    """
    path = folder / VECTORS
    try:
        vectors: FloatArray = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ArtifactError(f"{path} is damaged ({error}), so diversity is left out") from None
    digest = interactions.catalogue_digest()
    if len(vectors) != interactions.n_items or inputs_of_stage(folder).get("catalogue", digest) != digest:
        raise ArtifactError(
            f"{path} holds {len(vectors)} vectors of another catalogue than the {interactions.n_items} items of the "
            "data folder, so diversity is left out"
        )
    return vectors


def _means(frame: pl.DataFrame) -> dict[str, float]:
    """Over users; what is not defined for one is left out."""
    return {name: float(np.nanmean(frame[name].to_numpy())) for name in frame.columns}


def _shares(groups: IntArray) -> list[float]:
    counts = np.bincount(groups, minlength=len(GROUPS))
    return [float(count) / max(1, len(groups)) for count in counts]
