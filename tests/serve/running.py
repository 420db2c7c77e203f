"""Servers in processes of their own, and what a client may do to them."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from fakes import FakeModel

IDS = ("50", "181", "a", "b", "c", "d")
SCRIPT = Path(__file__).with_name("fake_server.py")


class Running:
    """A supervisor and its workers."""

    def __init__(self, folder, **settings):
        self.folder = folder / "model"
        if not self.folder.exists():
            FakeModel(IDS).write(self.folder)
        # a fast machine stores more events in a test than a server gives back unless told otherwise
        settings = {"store": f"sqlite:///{folder}/events.db", "port": 0, "history_events": 100_000, **settings}
        command = [sys.executable, str(SCRIPT), str(self.folder), json.dumps(settings)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log, self._come = [], threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = self.wait_for("listening")["port"]

    def _read(self):
        for line in self.process.stderr:
            with self._come:
                self.log.append(json.loads(line) if line.startswith("{") else {"message": line})
                self._come.notify_all()

    def wait_for(self, message, count=1, seconds=30):
        """The newest line with a message, once it has been logged so many times."""
        deadline = time.monotonic() + seconds
        with self._come:
            while len(found := [line for line in self.log if message in line["message"]]) < count:
                left = deadline - time.monotonic()
                assert left > 0, f"no {message!r} among {self.log}"
                self._come.wait(left)
        return found[-1]

    def workers(self):
        """The processes that answer now."""
        ready = [line["pid"] for line in self.log if line["message"] == "ready"]
        return [pid for pid in ready if Path(f"/proc/{pid}").exists()]

    def ask(self, path, body=None, method=None):
        """Status and JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def text(self, path):
        """The text of an answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read().decode()

    def connect(self):
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        self._reader.join()
        self.process.stderr.close()
