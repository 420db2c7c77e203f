"""Downloads that resume, are checked against a digest, and leave either a whole file or none."""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from distilrec import __version__
from distilrec.errors import SourceError
from distilrec.files import atomic_path, sha256_of_file
from distilrec.progress import progress

TIMEOUT_SECONDS = 5.0
_CHUNK_BYTES = 1 << 18
_ATTEMPTS = 3  # each goes on where the one before it stopped
_ON_THE_WAY = (
    urllib.error.URLError,
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
    http.client.HTTPException,
)


@dataclass(frozen=True)
class _Body:
    stream: BinaryIO
    start: int  # the byte of the whole file that the stream begins with
    total: int | None


def download(url: str, target: Path, *, sha256: str, timeout: float = TIMEOUT_SECONDS, quiet: bool = False) -> Path:
    """Fetch a file and check it.

    What has arrived is kept in `.partial` beside the target, so that a later call, in another process too,
    asks only for the rest. Bytes that do not match the digest are deleted.
    """
    if target.is_file() and sha256_of_file(target) == sha256:
        return target
    partial = target.with_name(f"{target.name}.partial")
    with atomic_path(target) as temporary:
        resumed = partial.exists()
        _complete(url, partial, timeout=timeout, quiet=quiet)
        if resumed and sha256_of_file(partial) != sha256:
            partial.unlink()  # the beginning may have come from another version of the file
            _complete(url, partial, timeout=timeout, quiet=quiet)
        got = sha256_of_file(partial)
        if got != sha256:
            partial.unlink()
            raise SourceError(f"{url}: SHA-256 is {got}; expected {sha256}. The download was deleted")
        partial.rename(temporary)
    return target


def _complete(url: str, partial: Path, *, timeout: float, quiet: bool) -> None:
    """Append to the partial file until the server has no more to give."""
    for attempt in range(_ATTEMPTS):
        before = partial.stat().st_size if partial.exists() else 0
        try:
            _append(url, partial, before, timeout=timeout, quiet=quiet)
        except _ON_THE_WAY as error:
            have = partial.stat().st_size if partial.exists() else 0
            if have <= before or attempt + 1 == _ATTEMPTS:
                kept = f" ({have:,} bytes are kept; the next attempt goes on from there)" if have else ""
                raise SourceError(f"{url}: {explain(error)}{kept}") from error
        else:
            return


def _append(url: str, partial: Path, have: int, *, timeout: float, quiet: bool) -> None:
    with _open(url, have, timeout) as body:
        if body is None:
            return
        with (
            partial.open("r+b" if body.start else "wb") as file,
            progress(
                f"fetching {url.rsplit('/', 1)[-1]} (bytes)",
                total=body.total or 0,
                start=body.start,
                quiet=quiet,
            ) as advance,
        ):
            file.seek(body.start)
            while chunk := body.stream.read(_CHUNK_BYTES):
                file.write(chunk)
                advance(len(chunk))
            end = file.tell()
    if body.total is not None and end < body.total:
        raise ConnectionError(f"the connection ended after {end:,} of {body.total:,} bytes")


@contextmanager
def _open(url: str, have: int, timeout: float) -> Iterator[_Body | None]:
    """The rest of a file; None when the server says that nothing is left."""
    headers = {"User-Agent": f"distilrec/{__version__}", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with closing(error):
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        yield None
        return
    with closing(response):
        length = response.headers.get("Content-Length")
        start = _first_byte(response.headers.get("Content-Range")) if response.status == 206 else 0
        yield _Body(response, start, start + int(length) if length is not None else None)


def _first_byte(content_range: str | None) -> int:
    match = re.match(r"bytes (\d+)-", content_range or "")
    if not match:
        raise http.client.HTTPException(f"a partial answer without its range: {content_range!r}")
    return int(match[1])


def explain(error: Exception) -> str:
    """One line that says what went wrong on the way to a server."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return str(reason) or type(reason).__name__
