"""A recipe's second split: what is done on it, and what both splits say of the same models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from distilrec.evaluate.bootstrap import Interval
from distilrec.evaluate.compare import metric_title
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.protocols import PairOfModels, compare_protocols

if TYPE_CHECKING:  # it loads torch
    from distilrec.data.split import SplitSettings
    from distilrec.run.recipe import Recipe

ALSO = "also_split"
"""The folder in a run's that holds the run on its second split."""


@dataclass(frozen=True)
class BothSplits:
    """How the same recipe did on two splits, each with its own trainings and its own test cases."""

    metric: str
    users: dict[str, int]
    """Split -> how many users it asks about."""
    intervals: dict[str, dict[str, Interval]]
    """Model -> split -> its mean."""
    sentences: list[str]
    """On which pairs of models the splits contradict each other, what one alone shows, and on how many they agree."""

    @classmethod
    def of(cls, splits: Mapping[str, Mapping[str, Evaluation]], metric: str) -> Self:
        """From the evaluations of the models, by split and title of the model."""
        pairs = compare_protocols(splits, metric=metric)
        names = dict.fromkeys(name for pair in pairs for name in pair.names)
        return cls(
            metric,
            {split: len(next(iter(models.values())).per_user) for split, models in splits.items()},
            {name: {split: models[name].interval(metric) for split, models in splits.items()} for name in names},
            [*_sentences(pairs, list(splits))],
        )

    @classmethod
    def read(cls, held: Mapping[str, Any]) -> Self:
        """Read back plain values."""
        intervals = {
            model: {split: Interval(**interval) for split, interval in splits.items()}
            for model, splits in held["intervals"].items()
        }
        return cls(held["metric"], held["users"], intervals, held["sentences"])

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Heading and rows of the table, as text."""
        head = ["model", *(f"{metric_title(self.metric)}, {split} [95 %]" for split in self.users)]
        return head, [[model, *(found.cell() for found in splits.values())] for model, splits in self.intervals.items()]

    @property
    def note(self) -> str:
        """What may be compared with what."""
        asked = " and ".join(f"{count:,} users by {split}" for split, count in self.users.items())
        return (
            f"Two splits of the same log, {asked}, each with its own trainings: numbers compare down a column, not "
            "along a row; what the splits may disagree on is which model is better."
        )


def _sentences(pairs: Sequence[PairOfModels], splits: Sequence[str]) -> Iterator[str]:
    for pair in pairs:
        if pair.opposite:
            yield f"{pair.sentence()[0].upper()}{pair.sentence()[1:]}."
    for split in splits:
        claims = [claim for pair in pairs if not (pair.agree or pair.opposite) and (claim := pair.claim(split))]
        if claims:
            yield f"Shown by {split} alone: {'; '.join(claims)}."
    agreed = sum(pair.agree for pair in pairs)
    yield f"The protocols agree on {agreed} of {len(pairs)} pairs of models."


def second_recipe(recipe: Recipe, second: SplitSettings) -> Recipe:
    """The recipe on its second split alone; trackers are told of the first, which has models of the same costs."""
    _, title = titles(recipe.data.split, second)
    data = recipe.data.with_changes(split=second)
    return recipe.with_changes(data=data, also_split=None, costs=None, track=(), name=f"{recipe.name} ({title})")


def titles(first: SplitSettings, second: SplitSettings) -> tuple[str, str]:
    """Names that tell two splits apart: their kinds, and where these are the same, what else differs."""
    kinds = first.kind.replace("_", " "), second.kind.replace("_", " ")
    if kinds[0] != kinds[1]:
        return kinds
    ours, theirs = first.model_dump(mode="json"), second.model_dump(mode="json")
    other = [name for name in ours if ours[name] != theirs[name]]
    told = [", ".join(f"{name} {values[name]}" for name in other) for values in (ours, theirs)]
    return f"{kinds[0]}, {told[0]}", f"{kinds[1]}, {told[1]}"
