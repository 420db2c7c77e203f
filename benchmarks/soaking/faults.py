"""What is done to a server. Each fault says in a sentence what happened, or raises `BrokenPromiseError`."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import sqlalchemy as sql

from distilrec.serve.store.connect import WRITES, open_engine
from soaking.ledger import Ledger
from soaking.load import Answers, Id
from soaking.models import another, copy_half, corrupt, put
from soaking.promises import demand
from soaking.server import Server
from soaking.wire import MALFORMED, http_request, listed, mutated, status_of, statuses_of

TAKEN, REFUSED = "a new model answers", "a new model was refused; the old one goes on"
_DIED = "a worker died and is started again"
_PATIENCE = 20.0  # seconds for what should take one or two
_RESET = struct.pack("ii", 1, 0)  # closing then sends RST at once


@dataclass
class Scene:
    """What faults need."""

    server: Server
    answers: Answers
    ledger: Ledger
    ids: Sequence[Id]
    good: Path
    """An exported folder that stays as it is."""
    hold_seconds: float
    """How long a worker is frozen and the store is locked."""
    body_seconds: float
    """How long the server waits for a slow client."""
    draw: random.Random
    models: int = 0
    """How many models were made."""

    def post(self, path: str, body: object) -> bytes:
        """A request as it goes over the wire."""
        return http_request(path, json.dumps(body).encode())

    def ask(self, raw: bytes) -> int:
        """The status of the answer to raw bytes over a connection of their own; 0 where it was closed instead."""
        with self.server.connect() as connection:
            with suppress(ConnectionError):  # it may answer, and close, before it has read all
                connection.sendall(raw)
            return status_of(connection)

    def recommendation(self) -> bytes:
        """A good question with a history."""
        return self.post("/recommend", {"history": [self.draw.choice(self.ids)], "k": 10})

    def still_answers(self, meanwhile: str) -> None:
        """Demand an answer to a good question over a new connection."""
        status = self.ask(self.recommendation())
        demand(status == 200, f"a recommendation got status {status} {meanwhile}")

    def new_model(self) -> Path:
        """A good model that no worker has seen, beside the served one."""
        self.models += 1
        made = self.server.folder.with_name(f"new-{self.models}")
        another(self.good, made, self.models)
        return made


def kill_worker(scene: Scene) -> str:
    """kill -9 of the younger worker, so that the older one's memory is seen from beginning to end."""
    server, before = scene.server, scene.server.count("ready")
    victim, died = server.workers()[-1], server.count(_DIED)
    scene.answers.kill()
    victim.kill()
    began = time.monotonic()
    scene.still_answers("after a worker was killed")
    server.wait_for(_DIED, died + 1, _PATIENCE)
    server.wait_for("ready", before + 1, _PATIENCE)
    scene.answers.kill()  # connections that idled at the dead worker are found broken until now
    demand(len(server.workers()) == server.workers_wanted, f"{len(server.workers())} workers run")
    return f"the others answered; a new one was ready after {time.monotonic() - began:.1f} s"


def freeze_worker(scene: Scene) -> str:
    """SIGSTOP of a worker for seconds."""
    victim: psutil.Process = scene.draw.choice(scene.server.workers())
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        waiting = [scene.server.connect() for _ in range(8)]
        for connection in waiting:
            connection.sendall(scene.recommendation())
        scene.still_answers("while a worker was frozen")
        time.sleep(scene.hold_seconds)
    finally:
        os.kill(victim.pid, signal.SIGCONT)
    statuses = statuses_of(waiting)
    demand(statuses.keys() == {200}, f"eight who asked meanwhile got {dict(statuses)}")
    return f"all who asked meanwhile were answered; frozen for {scene.hold_seconds:g} s"


def take_new_model(scene: Scene) -> str:
    """A new good artefact, put there by renaming."""
    taken, made, began = scene.server.count(TAKEN), scene.new_model(), time.monotonic()
    put(made, scene.server.folder)
    shutil.rmtree(made)
    scene.server.wait_for(TAKEN, taken + scene.server.workers_wanted, _PATIENCE)
    return f"every worker had changed over after {time.monotonic() - began:.1f} s"


def copy_in_two_halves(scene: Scene) -> str:
    """An artefact that is copied over the old one and stays half copied for a while."""
    server, made = scene.server, scene.new_model()
    taken, refused = server.count(TAKEN), server.count(REFUSED)
    copy_half(made, server.folder)
    try:
        server.wait_for(REFUSED, refused + server.workers_wanted, _PATIENCE)
        scene.still_answers("while a model was half copied")
        demand(server.count(TAKEN) == taken, "a half copied model was taken")
    finally:  # the faults that follow find a whole folder, whatever came of this one
        put(made, server.folder)
        shutil.rmtree(made)
    server.wait_for(TAKEN, taken + server.workers_wanted, _PATIENCE)
    return "refused, with the reason; taken by every worker once it was whole"


def corrupt_model(scene: Scene) -> str:
    """An artefact with one byte turned over."""
    server, made = scene.server, scene.new_model()
    kept = made.with_name("kept")
    taken, refused = server.count(TAKEN), server.count(REFUSED)
    shutil.copytree(server.folder, kept)
    corrupt(made)
    put(made, server.folder)
    try:
        server.wait_for(REFUSED, refused + server.workers_wanted, _PATIENCE)
        scene.still_answers("after a corrupt model came")
        demand(server.count(TAKEN) == taken, "a corrupt model was taken")
    finally:
        put(kept, server.folder)
        for folder in (made, kept):
            shutil.rmtree(folder)
    return "refused by every worker, with the reason; the old one went on"


def send_malformed(scene: Scene) -> str:
    """Requests that are no HTTP, no JSON, or of the wrong shape, and good ones with bytes changed."""
    good = {"history": [scene.draw.choice(scene.ids)], "k": 10}
    paths = ("/recommend", "/similar")
    raw = [*MALFORMED.values(), *(mutated(paths[number % 2], good, scene.draw) for number in range(50))]
    statuses = Counter(scene.ask(one) for one in raw)
    bad = {status: count for status, count in statuses.items() if status >= 500}
    demand(not bad, f"statuses {bad}")
    return f"{len(raw)} requests: statuses {listed(statuses)}"


def be_slow(scene: Scene) -> str:
    """Forty clients that send half a request and then nothing."""
    whole = scene.recommendation()
    parts = [whole[:20], whole[:-3]] * 20  # half a head, half a body
    with ExitStack() as held:
        connections = [held.enter_context(scene.server.connect()) for _ in parts]
        for connection, part in zip(connections, parts, strict=True):
            connection.sendall(part)
        began = time.monotonic()
        scene.still_answers("beside slow clients")
        waited = time.monotonic() - began
        demand(waited < scene.body_seconds, f"a recommendation beside slow clients took {waited:.1f} s")
        statuses = Counter(status_of(connection) for connection in connections)
    demand(statuses.keys() <= {0, 408}, f"slow clients got {dict(statuses)}")
    return f"statuses {listed(statuses)} (0: closed); another client was answered in {waited * 1000:.0f} ms"


def hang_up(scene: Scene) -> str:
    """Fifty clients that ask, or send an event, and are gone before the answer."""
    scene.models += 1  # names that no other event has
    for number in range(50):
        name = f"{scene.ledger.run}-gone-{scene.models}-{number}"
        event = {"event_id": name, "user_id": f"{scene.ledger.run}-gone", "item_id": scene.ids[0]}
        scene.ledger.send([name])
        with scene.server.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.sendall(scene.post("/events", event) if number % 2 else scene.recommendation())
    scene.still_answers("after fifty clients hung up")
    return "the next client was answered"


def burst(scene: Scene) -> str:
    """Three hundred connections at once."""
    with ExitStack() as held:
        connections = [held.enter_context(scene.server.connect()) for _ in range(300)]
        for connection in connections:
            connection.sendall(scene.recommendation())
        statuses = statuses_of(connections)
    demand(statuses.keys() <= {200, 503}, f"statuses {dict(statuses)}")
    return f"statuses {listed(statuses)}"


def lock_store(scene: Scene) -> str:
    """Another program that holds the store's lock for writing."""
    engine = open_engine(scene.server.store)
    before = Counter(scene.answers.statuses)
    try:
        with engine.execution_options(**WRITES).begin() as connection:  # SQLite's lock is taken here
            if engine.dialect.name == "postgresql":
                connection.execute(sql.text("LOCK TABLE distilrec_events IN EXCLUSIVE MODE"))  # readers go on
            ends = time.monotonic() + scene.hold_seconds
            while time.monotonic() < ends:
                scene.still_answers("while the store was locked")
                time.sleep(0.2)
            refused = scene.answers.statuses["POST /events", 503] - before["POST /events", 503]
            kept = scene.answers.statuses["POST /events", 200] - before["POST /events", 200]
    finally:
        engine.dispose()
    status = scene.ask(scene.post("/recommend", {"user_id": f"{scene.ledger.run}-sender0"}))
    demand(status == 200, f"a recommendation by user got status {status} after the lock was gone")
    return f"recommendations went on for {scene.hold_seconds:g} s; {refused} batches of events got 503, {kept} got 200"


FAULTS: Mapping[str, tuple[str, Callable[[Scene], str]]] = {
    "kill -9 of a worker": ("the others answer; another is started", kill_worker),
    "SIGSTOP of a worker for seconds": ("the others answer; who waits is answered when it goes on", freeze_worker),
    "a new good artefact": ("every worker takes it, between two requests", take_new_model),
    "a half copied artefact, then whole": ("refused, then taken", copy_in_two_halves),
    "a corrupt artefact": ("refused; the old one goes on", corrupt_model),
    "malformed requests": ("4xx, or closed", send_malformed),
    "slow clients": ("408, or closed; nobody else waits", be_slow),
    "clients that hang up": ("nobody else notices", hang_up),
    "300 connections at once": ("200 or 503 for each", burst),
    "the store locked by another program": ("recommendations go on; events wait or get 503", lock_store),
}
"""By what is done: what is promised, and the deed. Done in turns, in this order."""
