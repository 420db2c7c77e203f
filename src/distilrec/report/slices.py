"""How each model does on groups of users, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distilrec.data.interactions import Interactions
from distilrec.data.split import Split
from distilrec.evaluate.bootstrap import bootstrap_intervals
from distilrec.evaluate.slices import Slicing, by_history_length, by_target_popularity
from distilrec.evaluate.verdicts import Verdicts, verdicts
from distilrec.report.facts import Model, Slice

AGAINST = {"student_alone": "the student alone", "teacher": "the teacher"}
DISTILLED = "the distilled student"


def slicings_of(log: tuple[Interactions, Split]) -> list[Slicing]:
    """By the history, and by how popular the answer is."""
    interactions, split = log
    counts = np.bincount(split.train.values, minlength=interactions.n_items)
    return [by_history_length(split.test), by_target_popularity(split.test, counts)]


def slices_of(slicings: Sequence[Slicing], models: Sequence[Model], metric: str) -> list[Slice]:
    """The metric of each model for each group, with its interval; all models of a group share their draws of users."""
    known = [model for model in models if model.evaluation and metric in model.evaluation.metrics]
    values = {model.name: model.evaluation.values(metric) for model in known if model.evaluation}
    if not values or len({len(found) for found in values.values()}) > 1:
        return []
    both = np.stack(list(values.values()), axis=1)  # [C, models]
    found = []
    for slicing in slicings:
        for label, members in slicing.groups.items():
            intervals = bootstrap_intervals(both[members])
            by_model = dict(zip(values, intervals, strict=True))
            found.append(Slice(slicing.name, label, int(members.sum()), by_model))
    return found


def verdicts_of(slicings: Sequence[Slicing], models: Sequence[Model], metric: str) -> list[Verdicts]:
    """The distilled student beside itself alone and beside its teacher: for everybody and for each group."""
    named = {model.name: model.evaluation for model in models if model.evaluation}
    distilled = named.get("distilled")
    if distilled is None or metric not in distilled.metrics:
        return []
    return [
        verdicts(distilled, named[other], slicings, metric=metric, names=(DISTILLED, title))
        for other, title in AGAINST.items()
        if other in named and metric in named[other].metrics
    ]
