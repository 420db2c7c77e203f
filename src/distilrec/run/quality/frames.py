"""What a proof found as tables for programs: a line a cell, and a line a user and cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from distilrec.run.quality.judging import Judged, Outcome
from distilrec.run.quality.settings import QualityRecipe


def frame_of_cells(recipe: QualityRecipe, outcomes: Sequence[Outcome]) -> pl.DataFrame:
    """A line for each cell; `curve` is validation after each epoch."""
    metric, k = recipe.evaluate.metric, recipe.cutoff
    return pl.DataFrame(
        [
            {
                "student": one.cell.student,
                "method": one.cell.method,
                "control": recipe.method(one.cell.method).control,
                "seed": one.cell.seed,
                "parameters": one.parameters,
                f"validation_{metric}": one.validation,
                f"test_{metric}": one.test.mean(metric),
                f"test_recall@{k}": one.test.mean(f"recall@{k}"),
                f"coverage@{k}": one.coverage,
                f"tail_{metric}": one.tail,
                "best_epoch": one.best_epoch,
                "epochs": len(one.curve),
                "seconds_an_epoch": one.seconds_an_epoch,
                "curve": " ".join(f"{score:.5f}" for score in one.curve),
            }
            for one in outcomes
        ],
        infer_schema_length=None,
    )


def frame_of_users(outcomes: Sequence[Outcome], teachers: Mapping[str, Judged]) -> pl.DataFrame:
    """A line for each test user of each cell, and of each teacher, which has no student and no seed."""
    of_teachers = [_users(one, None, name, None) for name, one in teachers.items()]
    return pl.concat([*of_teachers, *(_users(o, o.cell.student, o.cell.method, o.cell.seed) for o in outcomes)])


def _users(one: Judged, student: str | None, method: str, seed: int | None) -> pl.DataFrame:
    about = [
        pl.lit(student, pl.String).alias("student"),
        pl.lit(method).alias("method"),
        pl.lit(seed, pl.Int64).alias("seed"),
    ]
    return one.test.per_user.select(*about, pl.all())
