"""MLflow: a run of the experiment `distilrec` for each training, in a database beside the runs' folders."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distilrec.errors import MissingExtraError
from distilrec.run.track.tracked import Tracked

_EXPERIMENT = "distilrec"
_METRICS_AT_ONCE, _PARAMETERS_AT_ONCE = 1000, 100  # MLflow takes no more


def tell_mlflow(run: Path, found: Sequence[Tracked]) -> str:
    """Write what is new to `MLFLOW_TRACKING_URI`, or to `mlflow.db` beside the run; return the line that shows it."""
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise MissingExtraError("mlflow", "track") from None
    place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(run.absolute().parent / 'mlflow.db').as_posix()}"
    client = MlflowClient(tracking_uri=place)
    held = client.get_experiment_by_name(_EXPERIMENT)
    experiment = held.experiment_id if held is not None else client.create_experiment(_EXPERIMENT)
    for one in found:
        _tell(client, experiment, run, one)
    return f"mlflow ui --backend-store-uri {place}"


def _tell(client: Any, experiment: str, run: Path, one: Tracked) -> None:  # noqa: ANN401  (an MlflowClient)
    """Log a training, unless it is there already; one that has changed replaces what was told before."""
    tags = {"distilrec.folder": str(run.absolute()), "distilrec.training": one.name}
    question = " and ".join(f"tags.`{name}` = '{_quoted(value)}'" for name, value in tags.items())
    for before in client.search_runs([experiment], filter_string=question):
        if before.data.tags.get("distilrec.digest") == one.digest() and before.info.status == "FINISHED":
            return
        client.delete_run(before.info.run_id)
    made = client.create_run(
        experiment, run_name=f"{run.name}/{one.name}", tags={**tags, "distilrec.digest": one.digest()}
    )
    _log(client, made.info.run_id, one)
    client.set_terminated(made.info.run_id)


def _log(client: Any, run_id: str, one: Tracked) -> None:  # noqa: ANN401
    from mlflow.entities import Metric, Param

    now = int(1000 * time.time())
    metrics = [
        Metric(_allowed(name), value, now, step)
        for step, epoch in enumerate(one.epochs, start=1)
        for name, value in epoch.items()
    ]
    metrics += [Metric(_allowed(name), value, now, one.best_epoch) for name, value in one.results.items()]
    for start in range(0, len(metrics), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])
    settings = [Param(name, value) for name, value in one.settings.items()]
    for start in range(0, len(settings), _PARAMETERS_AT_ONCE):
        client.log_batch(run_id, params=settings[start : start + _PARAMETERS_AT_ONCE])


def _allowed(name: str) -> str:
    """MLflow has no @ in names."""
    return name.replace("@", "_at_")


def _quoted(text: str) -> str:
    return text.replace("'", "''")
