"""How much better a teacher is than its student alone, measured on validation, for each training position."""

from __future__ import annotations

from typing import Any

import numpy as np

from distilrec.data.batches import Windows
from distilrec.distil.losses.popularity import popularity_groups
from distilrec.distil.losses.trust import advantage_weights
from distilrec.evaluate.evaluation import evaluate
from distilrec.run.recipe import EvaluateStage
from distilrec.run.stages import Prepared
from distilrec.types import FloatArray, Scorer

_STRATA = 10


def advantage(
    teacher: Scorer, alone: Scorer, prepared: Prepared, settings: EvaluateStage, *, max_length: int
) -> FloatArray:
    """For `trust.advantage`: 0 to 1 at each training position, window after window; 1/2 where both are alike.

    Validation cases are divided by how popular their answer is in training, into tenths of all training events; a
    position gets what was measured for answers as popular as its own. Test is not looked at.
    """
    train, n_items = prepared.split.train, prepared.interactions.n_items
    strata = popularity_groups(np.bincount(train.values, minlength=n_items), min(_STRATA, n_items))  # [N]
    cases = prepared.split.validation
    answers = cases.relevant.values[cases.relevant.offsets[:-1]]  # the first answer of each case
    found = [_metric(model, prepared, settings) for model in (teacher, alone)]
    weights = advantage_weights(found[0], found[1], strata[answers], n_strata=_STRATA)
    windows = Windows.cut(train, max_length=max_length)
    targets = np.concatenate([piece[1:] for piece in windows.pieces])  # [positions]
    measured: FloatArray = weights[strata[targets]]
    return measured


def _metric(model: Any, prepared: Prepared, settings: EvaluateStage) -> Any:  # noqa: ANN401  (an array of numbers)
    cutoff = [k for k in settings.cutoffs if settings.metric.endswith(f"@{k}")] or list(settings.cutoffs)
    found = evaluate(
        model,
        prepared.split.validation,
        cutoffs=tuple(cutoff),
        exclude_history=settings.exclude_history,
        quiet=True,
    )
    return found.per_user[settings.metric].to_numpy()
