"""`distilrec serve` as a function."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

from distilrec.errors import MissingExtraError
from distilrec.serve.model import Load, load_runtime, model_folder
from distilrec.serve.settings import ServeSettings
from distilrec.serve.supervisor import Work, supervise

_NEEDED = ("fastapi", "uvicorn", "orjson", "prometheus_client", "sqlalchemy")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


def start(run: Path, settings: ServeSettings, load: Load = load_runtime) -> int:
    """Answer requests until told to stop by SIGTERM or Control-C; the exit code.

    Args:
        run: an exported folder, or a run that holds one.
        settings: how the server behaves.
        load: what reads the model of a folder.

    Raises:
        MissingExtraError: the web framework is not installed.
        ArtifactError: there is no model.
        SettingsError: the address is taken.
    """
    for library in _NEEDED:
        if find_spec(library) is None:
            raise MissingExtraError(library, "serve")
    model_folder(run)
    for library in _THREADS:  # read when each is loaded, which is later
        os.environ.setdefault(library, str(settings.threads))

    def prepare() -> Work:
        from distilrec.serve.worker import run_worker  # not above, since it reads what is set before it is loaded

        return lambda listening: run_worker(run, load, settings, listening)

    return supervise(
        prepare,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        shutdown_seconds=settings.shutdown_seconds,
    )
