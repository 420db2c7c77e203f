"""How a server behaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from distilrec.config import Settings

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class ServeSettings(Settings):
    """What `distilrec serve` may be told."""

    store: str = "sqlite:///distilrec-events.db"
    """Where events are kept: `sqlite:///FILE`, or `postgresql://USER@HOST/DATABASE` for many servers."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 lets other machines in."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port to listen at; 0 takes one that is free and logs it."""
    workers: Count = 1
    """Processes that answer; each holds the model. A core each is enough."""
    threads: Count = 1
    """Threads of a worker's model."""
    watch: bool = False
    """Look for a new model in the folder, and change over to it while answering."""
    watch_seconds: Seconds = 1.0
    """How often it looks."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.1
    """A new model is refused when its top 10 share less than this with those of the old one."""
    api_key_file: Path | None = None
    """A file of keys, one a line; without it everybody who reaches the port may ask."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "distilrec"
    """The model's name in the Open Inference Protocol: /v2/models/NAME."""
    max_body_bytes: Count = 1 << 20
    """The largest request; a larger one gets 413."""
    max_k: Count = 1000
    """The most items that may be asked for."""
    max_waiting: Count = 1024
    """Requests that a worker holds at once; one more gets 503."""
    timeout_seconds: Seconds = 10.0
    """A request that is not answered after this gets 503."""
    body_seconds: Seconds = 10.0
    """A client that takes longer to send its request gets 408, or is cut off before it has sent the head."""
    rate_limit: Annotated[float, Field(ge=0)] = 0.0
    """Requests a second of one key, or of one address without keys, in each worker; 0 sets no limit."""
    history_events: Count = 1000
    """The newest events of a user that are read from the store."""
    cors_origins: tuple[str, ...] = ()
    """Web pages of these origins may ask from a browser; none may unless named."""
    access_log: bool = False
    """A line of JSON for every request, and not only for what goes wrong."""
    shutdown_seconds: Seconds = 20.0
    """How long a worker that is told to stop may take to finish what it has accepted."""
