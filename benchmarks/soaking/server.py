"""A server in a process of its own, its log, and its workers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from soaking.promises import BrokenPromiseError


class Server:
    """`distilrec serve FOLDER --watch` on a free port, from `with` to its end."""

    def __init__(self, folder: Path, store: str, *, workers: int, settings: Mapping[str, object]) -> None:
        """Start it and wait until every worker is ready."""
        self.folder, self.store, self.workers_wanted = folder, store, workers
        options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        command = [sys.executable, "-m", "distilrec", "serve", str(folder), "--store", store, "--port", "0", "--watch"]
        self.process = subprocess.Popen(
            [*command, "--workers", str(workers), *options], stderr=subprocess.PIPE, text=True, errors="replace"
        )
        self._log: list[Mapping[str, Any]] = []
        self._come = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.port = int(self.wait_for("listening", 1, 30)["port"])
            self.wait_for("ready", workers, 30)
        except BaseException:
            self._end()
            raise

    def _read(self) -> None:
        for line in self.process.stderr or ():
            with self._come:
                self._log.append(json.loads(line) if line.startswith("{") else {"message": line.strip()})
                self._come.notify_all()

    def count(self, message: str) -> int:
        """How often a message was logged."""
        with self._come:
            return sum(line["message"] == message for line in self._log)

    def wait_for(self, message: str, count: int, seconds: float) -> Mapping[str, Any]:
        """The newest line with a message, once it was logged so many times."""
        ends = time.monotonic() + seconds
        with self._come:
            while len(found := [line for line in self._log if line["message"] == message]) < count:
                left, code = ends - time.monotonic(), self.process.poll()
                if left <= 0 or (code is not None and not self._reader.is_alive()):
                    when = f"after {seconds:g} s" if code is None else f"and the server has ended with {code}"
                    newest = "; ".join(line["message"] for line in self._log[-2:])
                    raise BrokenPromiseError(f"the log lacks {message!r} {when}; it ends with: {newest}")
                self._come.wait(min(left, 0.5))
        return found[-1]

    def exceptions(self) -> list[str]:
        """Tracebacks that the log holds: each is a fault of ours."""
        with self._come:
            return [str(line["exception"]).splitlines()[-1] for line in self._log if "exception" in line]

    def workers(self) -> list[psutil.Process]:
        """The processes that answer, oldest first."""
        found = psutil.Process(self.process.pid).children()
        return sorted(found, key=psutil.Process.create_time)

    def connect(self, seconds: float = 20.0) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def stop(self) -> int:
        """Ask it to finish; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        """Kill it unless it has ended; its workers die with it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(timeout=10)
        if self.process.stderr:
            self.process.stderr.close()
