"""Runs on the same data under different splits: where their verdicts about the same models disagree."""

from __future__ import annotations

from collections.abc import Sequence

from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.protocols import compare_protocols
from distilrec.report.facts import RunFacts
from distilrec.report.words import capital


def split_sentences(runs: Sequence[RunFacts]) -> list[str]:
    """What each two splits say of each two models; those on which they differ come first."""
    found = [pair for protocols in _same_data(runs) for pair in compare_protocols(protocols, metric=runs[0].metric)]
    return [f"{capital(pair.sentence())}." for pair in sorted(found, key=lambda pair: pair.agree)]


def _same_data(runs: Sequence[RunFacts]) -> list[dict[str, dict[str, Evaluation]]]:
    """For each log that was split in several ways, split -> model -> evaluation; of runs split alike, the first."""
    by_data: dict[str, dict[str, dict[str, Evaluation]]] = {}
    for run in runs:
        digest, kind = dict(run.digests).get("data"), dict(run.data).get("Split")
        models = {
            model.title: model.evaluation
            for model in run.models
            if model.role != "baseline" and model.evaluation and runs[0].metric in model.evaluation.metrics
        }
        if digest and kind and len(models) > 1:
            by_data.setdefault(digest, {}).setdefault(kind, models)
    several = [protocols for protocols in by_data.values() if len(protocols) > 1]
    return [one for one in several if len(set.intersection(*(set(models) for models in one.values()))) > 1]
