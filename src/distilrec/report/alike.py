"""Which models of a run may stand beside each other: those that were asked the same questions in the same way.

A run that is made anew with other settings replaces its folders one by one, so an interrupted one holds evaluations
on new cases beside old ones, and lists of users that its data folder no longer tests.
"""

from __future__ import annotations

from collections.abc import Sequence

from distilrec.data.interactions import Interactions
from distilrec.data.split import Split
from distilrec.errors import DataError
from distilrec.evaluate.evaluation import Evaluation, check_same_cases, digest_of_cases
from distilrec.report.facts import Model


def asked_alike(models: Sequence[Model]) -> list[Model]:
    """The judged models that were asked as the distilled student was, or as the first where that was not judged."""
    judged = {model.name: model.evaluation for model in models if model.evaluation}
    if not judged:
        return []
    first = judged.get("distilled", next(iter(judged.values())))
    return [model for model in models if model.evaluation and _same_questions(model.evaluation, first)]


def asks(log: tuple[Interactions, Split], found: Evaluation) -> bool:
    """Whether an evaluation is of the test cases of a log, and of its catalogue."""
    interactions, split = log
    known = (found.protocol.get("cases"), found.protocol.get("n_items"))
    return known == (digest_of_cases(split.test), interactions.n_items)


def _same_questions(a: Evaluation, b: Evaluation) -> bool:
    try:
        check_same_cases(a, b, names=("a", "b"))
    except DataError:
        return False
    return True
