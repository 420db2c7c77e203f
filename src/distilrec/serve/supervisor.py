"""Keeps workers running: one that dies is started again, and all finish their work when told to stop.

The listening socket belongs to the supervisor, so that who connects while a worker starts waits instead of being
refused. Libraries are loaded once, before workers are forked, so that a new one answers within a fraction of a second;
models, and whatever has threads, are loaded by each worker (decision 0026).
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from distilrec.errors import DistilRecError, SettingsError
from distilrec.serve.logs import log, log_as_json

_BACKLOG = 2048
_REFUSED = 2  # the exit code of a worker that could not be what it was asked to be
_LONGEST_PAUSE = 5.0  # seconds between two starts of a worker that keeps dying
_LIVED_WELL = 10.0  # seconds after which a death is no longer counted as a failed start
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG

Work = Callable[[socket.socket], None]


def listen(host: str, port: int) -> socket.socket:
    """A socket that connections arrive at."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        taken = error.errno == errno.EADDRINUSE
        what_to_do = "stop what listens there, or give another --port" if taken else "give another --host"
        raise SettingsError(f"cannot listen at {host}:{port}: {error.strerror}; {what_to_do}") from None
    made.listen(_BACKLOG)
    return made


@dataclass
class _Worker:
    number: int
    pid: int = 0
    began: float = 0.0
    failed: int = 0  # deaths in a row, soon after a start


@dataclass
class Supervisor:
    """Runs `work` in so many processes."""

    work: Work
    listening: socket.socket
    count: int
    shutdown_seconds: float
    buried: Callable[[int], None] = lambda pid: None
    """Told the process number of every worker that has died."""
    _workers: dict[int, _Worker] = field(default_factory=dict)  # by process
    _stopping: bool = False

    def run(self) -> int:
        """Run until told to stop; the exit code."""
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, self._stop)
        signal.signal(signal.SIGALRM, self._kill)
        for number in range(self.count):
            self._start(_Worker(number))
        code = 0
        while self._workers:
            pid, status = os.waitpid(-1, 0)
            worker = self._workers.pop(pid, None)
            self.buried(pid)
            if worker is not None and not self._stopping:
                code = max(code, self._died(worker, os.waitstatus_to_exitcode(status)))
        return code

    def _died(self, worker: _Worker, code: int) -> int:
        if code == _REFUSED and not worker.failed:  # at its first start; later, the folder may become whole again
            self._stop()
            return _REFUSED
        lived = time.monotonic() - worker.began
        worker.failed = worker.failed + 1 if lived < _LIVED_WELL else 1
        pause = min(_LONGEST_PAUSE, 0.1 * 2 ** (worker.failed - 1)) if worker.failed > 1 else 0.0
        told = {"worker": worker.number, "exit_code": code, "lived_seconds": round(lived, 1), "pause_seconds": pause}
        log.error("a worker died and is started again", extra=told)
        time.sleep(pause)
        if not self._stopping:
            self._start(worker)
        return 0

    def _start(self, worker: _Worker) -> None:
        worker.began, parent = time.monotonic(), os.getpid()
        worker.pid = os.fork()
        if worker.pid == 0:
            _be_worker(self.work, self.listening, parent)
        self._workers[worker.pid] = worker
        if self._stopping:  # told so between the fork and here
            os.kill(worker.pid, signal.SIGTERM)

    def _stop(self, *_: object) -> None:
        """Ask every worker to finish what it has accepted; after a while, do not ask."""
        if not self._stopping:
            self._stopping = True
            signal.alarm(int(self.shutdown_seconds) + 5)
            self._tell(signal.SIGTERM)

    def _kill(self, *_: object) -> None:
        self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        for pid in list(self._workers):
            os.kill(pid, number)


def _be_worker(work: Work, listening: socket.socket, parent: int) -> None:
    """Work in this new process, and end it."""
    code = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)  # Control-C is for the supervisor, which asks us to stop
        _die_with(parent)
        work(listening)
        code = 0
    except DistilRecError as error:
        print(f"error: {error}", file=sys.stderr)
        code = _REFUSED
    except BaseException:
        log.exception("a worker failed")
    finally:
        sys.stderr.flush()
        os._exit(code)  # what the supervisor registered to do at its end is not done here


def _die_with(parent: int) -> None:
    """On Linux, be told to stop when the supervisor is killed; elsewhere workers then go on by themselves."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)


def supervise(prepare: Callable[[], Work], *, host: str, port: int, workers: int, shutdown_seconds: float) -> int:
    """Listen, and keep so many workers running until told to stop; the exit code.

    Args:
        prepare: called once before workers are forked; what they do.
    """
    listening = listen(host, port)
    log_as_json()
    folder = Path(tempfile.mkdtemp(prefix="distilrec-metrics-"))
    os.environ[_METRICS_FOLDER] = str(folder)

    def buried(pid: int) -> None:
        for file in folder.glob(f"gauge_live*_{pid}.db"):  # what it held in work, it holds no more
            file.unlink()

    log.info("listening", extra={"host": host, "port": listening.getsockname()[1], "workers": workers})
    try:
        return Supervisor(prepare(), listening, workers, shutdown_seconds, buried).run()
    finally:
        listening.close()
        shutil.rmtree(folder)
