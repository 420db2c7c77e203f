"""TensorBoard: a folder of events for each training, below the run's own; `tensorboard --logdir runs` shows all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distilrec.errors import MissingExtraError
from distilrec.files import atomic_path, read_json, write_json
from distilrec.run.track.tracked import Tracked

_MARK = "tracked.json"


def tell_tensorboard(run: Path, found: Sequence[Tracked]) -> str:
    """Write what is new; return the line that shows it."""
    for one in found:
        folder = run / "tensorboard" / one.name.replace("/", "-")
        if not (folder / _MARK).is_file() or read_json(folder / _MARK).get("digest") != one.digest():
            _write(folder, one)
    return f"tensorboard --logdir {run / 'tensorboard'}"


def _write(folder: Path, one: Tracked) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "track") from None
    with atomic_path(folder) as new:
        with SummaryWriter(str(new)) as writer:
            for step, epoch in enumerate(one.epochs, start=1):
                for name, value in epoch.items():
                    writer.add_scalar(name, value, step)
            for name, value in one.results.items():
                writer.add_scalar(name, value, one.best_epoch)
            lines = [f"| {name} | {value} |" for name, value in one.settings.items()]
            writer.add_text("settings", "\n".join(["| setting | value |", "| --- | --- |", *lines]))
        write_json(new / _MARK, {"digest": one.digest()})
