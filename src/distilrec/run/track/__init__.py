"""What a run found, for programs that people watch and compare trainings with: TensorBoard and MLflow.

Everything comes from the run's folder, when a training is finished and again when it is judged, so a run that was
interrupted is not told twice, and one that was made without a tracker can be told later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from distilrec.errors import MissingExtraError
from distilrec.run.track.tracked import Tracked, tracked_in

Tracker = Literal["tensorboard", "mlflow"]


def check_installed(trackers: Sequence[Tracker]) -> None:
    """Refuse a tracker that is missing before anything is trained."""
    for name in trackers:
        if find_spec(name) is None:
            raise MissingExtraError(name, "track")


def track(run: Path, trackers: Sequence[Tracker]) -> list[str]:
    """Tell trackers all that is new in a run's folder; return where each of them wrote, for people."""
    if not trackers:
        return []
    check_installed(trackers)
    found = tracked_in(run)
    return [_teller(name)(run, found) for name in trackers]


def _teller(name: Tracker) -> Callable[[Path, Sequence[Tracked]], str]:
    """Imported only when it is asked for."""
    if name == "tensorboard":
        from distilrec.run.track.tensorboard import tell_tensorboard

        return tell_tensorboard
    from distilrec.run.track.mlflow import tell_mlflow

    return tell_mlflow
