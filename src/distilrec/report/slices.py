"""How each model does on groups of users, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from distilrec.data.interactions import Interactions
from distilrec.data.split import Split
from distilrec.evaluate.bootstrap import Values, intervals_of, resampled_means
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.slices import BoolArray, Slicing, by_history_length, by_target_popularity
from distilrec.evaluate.verdicts import FEWEST, Verdicts, both_verdicts, corrected
from distilrec.report.alike import asked_alike
from distilrec.report.facts import Model, Slice

AGAINST = {"student_alone": "the student alone", "teacher": "the teacher"}
DISTILLED = "the distilled student"


def slicings_of(log: tuple[Interactions, Split]) -> list[Slicing]:
    """By the history, and by how popular the answer is."""
    interactions, split = log
    counts = np.bincount(split.train.values, minlength=interactions.n_items)
    return [by_history_length(split.test), by_target_popularity(split.test, counts)]


def judged(slicings: Sequence[Slicing], models: Sequence[Model], metric: str) -> tuple[list[Slice], list[Verdicts]]:
    """Each model on each group; the distilled student beside itself alone and its teacher, for all and by group.

    Models that were asked otherwise than the distilled student are left out (`alike.asked_alike`). All models share
    their draws of users, which is nearly all of the work.
    """
    known = {m.name: m.evaluation for m in asked_alike(models) if m.evaluation and metric in m.evaluation.metrics}
    if not known:
        return [], []
    values = np.stack([one.values(metric) for one in known.values()], axis=1)  # [C, models]
    groups = [(s.name, label, members) for s in slicings for label, members in s.groups.items()]
    means = [resampled_means(values[members]) for _, _, members in groups]
    slices = [_slice(group, values, found, list(known)) for group, found in zip(groups, means, strict=True)]
    if "distilled" not in known:
        return slices, []
    overall = resampled_means(values)
    return slices, [
        _verdicts(known, other, (DISTILLED, title), metric, overall, groups, means)
        for other, title in AGAINST.items()
        if other in known
    ]


Group = tuple[str, str, BoolArray]


def _slice(group: Group, values: Values, means: Values, names: Sequence[str]) -> Slice:
    by, label, members = group
    intervals = dict(zip(names, intervals_of(values[members], means), strict=True))
    return Slice(by, label, int(members.sum()), intervals)


def _verdicts(
    known: Mapping[str, Evaluation],
    other: str,
    names: tuple[str, str],
    metric: str,
    overall: Values,
    groups: Sequence[Group],
    means: Sequence[Values],
) -> Verdicts:
    order = list(known)
    columns = [order.index("distilled"), order.index(other)]
    ours, theirs = known["distilled"], known[other]
    found = [
        both_verdicts(_part(ours, members), _part(theirs, members), metric=metric, names=names, means=drawn[:, columns])
        if members.sum() >= FEWEST
        else (None, None)
        for (_, _, members), drawn in zip(groups, means, strict=True)
    ]
    everybody = both_verdicts(ours, theirs, metric=metric, names=names, means=overall[:, columns])
    counted = [(by, label, int(members.sum())) for by, label, members in groups]
    return Verdicts(*everybody, corrected(counted, found))


def _part(found: Evaluation, members: BoolArray) -> Evaluation:
    return Evaluation(found.per_user.filter(members), found.protocol)
