"""Sentences that the HTML and the Markdown share."""

from __future__ import annotations

from collections.abc import Iterator

from distilrec.evaluate.compare import metric_title
from distilrec.report.alike import asked_alike
from distilrec.report.facts import RunFacts
from distilrec.report.words import capital, plural


def lead(run: RunFacts) -> str:
    """What was measured on what, in a sentence or two."""
    facts, protocol = dict(run.data), run.protocol
    if protocol is None:
        return "No model of this run has been judged yet."
    users = next((len(model.evaluation.per_user) for model in asked_alike(run.models) if model.evaluation), 0)
    history = "items of the history left out" if protocol["exclude_history"] else "items of the history not left out"
    log = f" of {facts['Log']}" if "Log" in facts else ""
    return (
        f"{plural(len(run.ranked), 'model')} ranked the whole catalogue of {protocol['n_items']:,} items for "
        f"{plural(users, 'user')}{log} ({facts.get('Split', 'unknown')} split, {history}). "
        f"They are compared by {metric_title(run.metric)}."
    )


def verdict_sentences(run: RunFacts) -> Iterator[str]:
    """What follows, with the evidence."""
    for found in run.verdicts:
        yield f"{capital(found.overall.sentence())}."
        if found.non_inferiority is not None:
            yield f"{capital(found.non_inferiority.sentence())}."
