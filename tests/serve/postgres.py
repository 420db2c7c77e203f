"""A PostgreSQL of our own, in a temporary folder; tests that need one skip where no server is installed."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

_BINARIES = [Path(p).parent for p in [shutil.which("initdb")] if p] + sorted(
    Path("/usr/lib/postgresql").glob("*/bin"), reverse=True
)


class Postgres:
    """A database server that can be stopped and started again."""

    def __init__(self, folder, port):
        self.folder, self.port, self._databases = folder, port, 0
        self._binaries = _BINARIES[0].resolve()

    def run(self, name, *arguments, **options):
        """Run one of its programs, never as root, which it refuses."""
        command = [str(self._binaries / name), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        return subprocess.run(command, check=True, capture_output=True, cwd="/", timeout=60, **options)

    def start(self):
        """Start it."""
        told = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), "-o", told, "start")

    def stop(self):
        """Stop it at once, as a crash would."""
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop")

    def database(self):
        """The address of a new database."""
        self._databases += 1
        name = f"test_{self._databases}_{time.monotonic_ns()}"
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres_server():
    """The server, running."""
    import tempfile

    if not _BINARIES:
        pytest.skip("no PostgreSQL server here; install one with: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="distilrec-postgres-"))  # not below pytest's folder, which is root's alone
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip(
                "PostgreSQL does not run as root, and setpriv (util-linux), which would run it otherwise, is absent"
            )
        os.chown(folder, 65534, 65534)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Postgres(folder, free.getsockname()[1])
    try:
        server.run("initdb", "-D", str(folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres(postgres_server):
    """Makes a database that is empty, and returns its address."""
    return postgres_server.database
