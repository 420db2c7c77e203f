"""Which sources answer, asked all at once and briefly."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from distilrec.errors import SourceError
from distilrec.sources.fetch import explain
from distilrec.sources.find import hub_endpoint, offline
from distilrec.sources.known import ALL_MINILM_L6_V2, MOVIELENS_100K, Archive, HubModel, Package, Source
from distilrec.sources.wheels import run_pip

_PIP_STARTS_IN_SECONDS = 5.0


@dataclass(frozen=True)
class Reached:
    """Whether one source answers; `detail` says why not."""

    source: str
    ok: bool
    detail: str = ""


def reachable(
    sources: tuple[Source, ...] = (MOVIELENS_100K, ALL_MINILM_L6_V2), *, timeout: float = 3.0
) -> list[Reached]:
    """Ask each official source and the user's package index; nothing is downloaded."""
    questions = [question for source in sources for question in _questions(source, timeout)]
    with ThreadPoolExecutor(max_workers=max(1, len(questions))) as pool:
        return list(pool.map(lambda question: _ask(*question), questions))


def _questions(source: Source, timeout: float) -> list[tuple[str, Callable[[], None]]]:
    url = official_url(source.official)
    package = source.package
    return [
        (f"{source.what} at {url}", partial(_head, url, timeout)),
        (f"{source.what} as the package {package.requirement}", partial(_index_has, package, timeout)),
    ]


def official_url(official: Archive | HubModel) -> str:
    """One small address that tells whether the official source answers."""
    if isinstance(official, Archive):
        return official.url
    return f"{hub_endpoint()}/{official.name}/resolve/{official.revision}/config.json"


def _ask(name: str, question: Callable[[], None]) -> Reached:
    if variable := offline("DISTILREC_OFFLINE"):
        return Reached(name, ok=False, detail=f"not asked, because {variable} is set")
    try:
        question()
    except SourceError as error:
        return Reached(name, ok=False, detail=str(error))
    except OSError as error:  # every way in which a connection fails
        return Reached(name, ok=False, detail=explain(error))
    return Reached(name, ok=True)


def _head(url: str, timeout: float) -> None:
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=timeout).close()
    except urllib.error.HTTPError as error:
        with closing(error):
            raise SourceError(explain(error)) from error


def _index_has(package: Package, timeout: float) -> None:
    arguments = ["index", "versions", package.name, "--timeout", str(max(1, round(timeout)))]
    versions = run_pip(arguments, timeout=timeout + _PIP_STARTS_IN_SECONDS)
    if package.version not in versions.replace(",", " ").split() and f"({package.version})" not in versions:
        raise SourceError(f"the package index does not have version {package.version}")
