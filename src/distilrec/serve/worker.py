"""One process that answers: a model, an application, and uvicorn around them."""

from __future__ import annotations

import asyncio
import gc
import socket
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from distilrec.serve.app import make_application
from distilrec.serve.logs import log
from distilrec.serve.metrics import Metrics
from distilrec.serve.model import InUse, Load, model_folder
from distilrec.serve.settings import ServeSettings
from distilrec.serve.watch import Watch

_KEEP_ALIVE_SECONDS = 65  # above the 60 s after which most proxies close an idle connection


def run_worker(run: Path, load: Load, settings: ServeSettings, listening: socket.socket) -> None:
    """Load the model and answer until told to stop; what was accepted is finished."""
    metrics, in_use = Metrics(), InUse(load(model_folder(run), settings.threads))
    watch = Watch(run, load, in_use, settings, metrics) if settings.watch else None
    application = make_application(in_use, settings, metrics, watch.forever if watch else None)
    gc.collect()
    gc.freeze()  # the model and the libraries are not searched for garbage again, which would cost milliseconds
    config = uvicorn.Config(
        application,
        http=_impatient(settings.body_seconds),
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.shutdown_seconds),
    )
    log.info("ready", extra={"model": in_use.model.digest, "items": in_use.model.n_items})
    uvicorn.Server(config).run(sockets=[listening])


def _impatient(seconds: float) -> Any:  # noqa: ANN401  (uvicorn's protocols share no base)
    """uvicorn's protocol, which closes a connection that has not sent the head of a request in time.

    uvicorn itself waits for ever, so that somebody who sends a byte a minute keeps a connection.
    """

    class Impatient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            asyncio.get_running_loop().call_later(seconds, self._close_if_silent)

        def _close_if_silent(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

    return Impatient
