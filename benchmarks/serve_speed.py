"""Requests a second over HTTP: `distilrec serve` beside the same model behind plain FastAPI and torch, and LitServe.

    python benchmarks/serve_speed.py EXPORTED-FOLDER [--data PREPARED] [--rounds 3] [--seconds 8]
    python benchmarks/serve_speed.py --made-up 1000000 --connections 1

The folder is what `distilrec export` wrote; the peers read the artefact in it through torch. One worker each, one
thread, the client on the same machine. Servers are started one after the other, in turns, so that a slow moment meets
them all.
Prints for each the answers a second, milliseconds, memory, and seconds from its start to its first answer. `--made-up`
exports an untrained student of width 64 over so many items, its table in float16, and measures our server alone.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import psutil
from rich.console import Console
from rich.table import Table
from serving.load import Load, http_request, run_load

HERE = Path(__file__).parent
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
_ONE_THREAD = dict.fromkeys(_THREADS, "1")
_LONGEST_START = 60.0  # seconds
_LITSERVE = "litserve==0.2.19"


@dataclass(frozen=True)
class Measured:
    """One start and one load of a server."""

    load: Load
    memory_mib: float
    """Resident, of the process and its children together, under load."""
    worker_mib: float
    """Of the largest of them."""
    start_seconds: float
    """From the start of the process to its first answer."""


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.made_up:
        options.folder, options.ours_alone = _made_up(options.made_up, options.environments / "made-up"), True
    requests = [http_request("/recommend", body) for body in _bodies(options)]
    with tempfile.TemporaryDirectory() as store:
        commands = _commands(options, Path(store))
        found: dict[str, list[Measured]] = {name: [] for name in commands}
        for number in range(options.rounds):
            for name, command in commands.items():
                found[name].append(_measure(command, requests, options))
                print(f"round {number + 1}  {name:16} {_told(found[name][-1])}")
    _show(found, options)


def _told(measured: Measured) -> str:
    load = measured.load
    return (
        f"{load.per_second:8.0f} a second  p50 {load.percentile(50):6.2f} ms  p99 {load.percentile(99):6.2f} ms  "
        f"{measured.memory_mib:5.0f} MiB  {load.requests:,} answers"
    )


def _commands(options: argparse.Namespace, store: Path) -> Mapping[str, Sequence[str]]:
    """How each server is started, up to its port."""
    ours = [sys.executable, "-m", "distilrec", "serve", str(options.folder), "--workers", "1"]
    ours += ["--store", f"sqlite:///{store / 'events.db'}", "--port"]
    if options.ours_alone:
        return {"distilrec serve": ours}
    plain = [sys.executable, str(HERE / "serving" / "plain_server.py"), str(options.folder)]
    commands = {"distilrec serve": ours, "FastAPI + torch": plain}
    if options.litserve:
        python = _litserve_python(options.environments)
        commands["LitServe"] = [str(python), str(HERE / "serving" / "litserve_server.py"), str(options.folder)]
    return commands


def _litserve_python(environments: Path) -> Path:
    """The interpreter of LitServe's own virtual environment, which is built when it is first needed."""
    folder = environments / "litserve"
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        print(f"building {folder} for {_LITSERVE}")
        pins = ["-c", str(HERE.parent / "constraints.txt")]
        pinned = (HERE.parent / "constraints.txt").read_text(encoding="utf-8").split()
        torch = next(line for line in pinned if line.startswith("torch=="))
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for packages in ([torch], [_LITSERVE, "-e", f"{HERE.parent}[train]", *pins]):
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "made").touch()
    return python


def _made_up(n_items: int, place: Path) -> Path:
    """An exported student of so many items, whose weights are drawn at random; made once."""
    out = place / f"{n_items}"
    if out.is_dir():
        return out
    import torch

    from distilrec import Recommender
    from distilrec.compress.quantise import Quantise, quantise
    from distilrec.models.transformer import Transformer, TransformerSettings
    from distilrec.run.exporting import ExportSettings, export

    torch.manual_seed(0)
    items = pl.DataFrame({"item_id": np.arange(n_items), "train_count": np.ones(n_items, dtype=np.int64)})
    model = Transformer(TransformerSettings(width=64), n_items).eval()
    small = quantise(Recommender(model, items), Quantise(table="float16", matrices=None, vectors=None))
    with tempfile.TemporaryDirectory() as folder:
        small.save_pretrained(Path(folder) / "model")
        export(Path(folder) / "model", out, ExportSettings(all_in_one=False, histories=5))
    return out


def _measure(command: Sequence[str], requests: Sequence[bytes], options: argparse.Namespace) -> Measured:
    with _started(command, requests[0]) as (process, port, seconds):
        run_load(port, requests, connections=options.connections, seconds=1.0)  # warm
        load = run_load(port, requests, connections=options.connections, seconds=options.seconds)
        if set(load.statuses) != {200}:
            sys.exit(f"{' '.join(command)} answered {dict(load.statuses)}; only answers of status 200 are compared")
        return Measured(load, *_memory_mib(process.pid), seconds)


@contextmanager
def _started(command: Sequence[str], first: bytes) -> Iterator[tuple[subprocess.Popen[bytes], int, float]]:
    """A server on a free port, and the seconds until its first answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen([*command, str(port)], env={**os.environ, **_ONE_THREAD}, start_new_session=True)
    try:
        while True:
            try:
                run_load(port, [first], connections=1, seconds=0.001)
                break
            except ConnectionError:
                if process.poll() is not None or time.perf_counter() - began > _LONGEST_START:
                    sys.exit(f"{' '.join(command)} has not answered (exit code {process.poll()})")
                time.sleep(0.02)
        yield process, port, time.perf_counter() - began
    finally:
        process.terminate()
        process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # LitServe leaves its workers behind


def _memory_mib(pid: int) -> tuple[float, float]:
    """Of all processes, and of the largest."""
    whole = psutil.Process(pid)
    resident = [one.memory_info().rss / 2**20 for one in [whole, *whole.children(recursive=True)]]
    return sum(resident), max(resident)


def _bodies(options: argparse.Namespace) -> list[bytes]:
    """Questions of real test users, or, without data, histories of 1 to 50 items drawn at random."""
    if options.data is not None:
        from distilrec.run.finished import outside_ids
        from distilrec.run.stages import load_prepared

        prepared = load_prepared(options.data)
        kept = prepared.split.test.histories
        histories = [outside_ids(prepared, kept[row])[-50:] for row in range(min(500, len(kept)))]
    else:
        draw, ids = np.random.default_rng(0), pl.read_parquet(options.folder / "items.parquet")["item_id"]
        histories = [ids.gather(draw.integers(0, len(ids), size=draw.integers(1, 51))).to_list() for _ in range(500)]
    return [orjson.dumps({"history": history, "k": options.k}) for history in histories]


def _show(found: Mapping[str, Sequence[Measured]], options: argparse.Namespace) -> None:
    told = f"{options.connections} connections, {options.rounds} rounds of {options.seconds:g} s"
    print(f"\n{told}, medians; k = {options.k}")
    table = Table("server", "answers/s", "ours is", "p50 ms", "p99 ms", "MiB in all", "of a worker", "first answer s")
    ours = statistics.median(one.load.per_second for one in next(iter(found.values())))
    for name, rounds in found.items():
        rate = statistics.median(one.load.per_second for one in rounds)
        cells = [
            f"{rate:,.0f}",
            f"{ours / rate:.1f}x",
            *(f"{statistics.median(one.load.percentile(p) for one in rounds):.2f}" for p in (50, 99)),
            f"{statistics.median(one.memory_mib for one in rounds):.0f}",
            f"{statistics.median(one.worker_mib for one in rounds):.0f}",
            f"{statistics.median(one.start_seconds for one in rounds):.2f}",
        ]
        table.add_row(name, *cells)
    Console(width=120).print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="what `distilrec export` wrote")
    parser.add_argument("--made-up", type=int, metavar="ITEMS", help="a student over so many items, instead")
    parser.add_argument("--ours-alone", action="store_true", help="leave all peers out")
    parser.add_argument("--data", type=Path, help="prepared data whose test users ask; left out, histories are made up")
    parser.add_argument("--rounds", type=int, default=3, help="how often each server is started and measured")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--connections", type=int, default=16, help="kept open at once")
    parser.add_argument("-k", type=int, default=10, help="items asked for")
    parser.add_argument("--no-litserve", dest="litserve", action="store_false", help="leave LitServe out")
    parser.add_argument("--environments", type=Path, default=Path("runs/peers"), help="virtual environments of peers")
    options = parser.parse_args()
    if (options.folder is None) == (options.made_up is None):
        parser.error("give a folder that `distilrec export` wrote, or --made-up ITEMS")
    return options


if __name__ == "__main__":
    main()
