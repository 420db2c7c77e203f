"""Files out of Python packages, by way of whatever package index the user's pip is configured with.

A package is opened as a zip file. Nothing of it is installed, imported or run.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from distilrec.errors import SourceError
from distilrec.sources.known import Package

_MOST_SECONDS = 900.0  # a mirror may have to fetch the package itself first


def pip_command() -> list[str]:
    """This interpreter's pip, or else the pip on the path (an environment made by uv has none of its own)."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip") or shutil.which("pip3")
    if found is None:
        raise SourceError("pip is not installed")
    return [found]


def run_pip(arguments: list[str], *, timeout: float) -> str:
    """Run pip and return what it printed; its own last error line when it fails."""
    command = [*pip_command(), *arguments, "--no-input", "--disable-pip-version-check", "--retries", "1"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise SourceError(f"pip did not finish within {timeout:.0f} s") from None
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise SourceError((errors or done.stderr.splitlines() or ["pip failed"])[-1].removeprefix("ERROR: "))
    return done.stdout


def download_wheel(package: Package, into: Path) -> Path:
    """Fetch a package's wheel. Only wheels: a source package would run its own code while being prepared."""
    arguments = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(into)]
    run_pip([*arguments, package.requirement], timeout=_MOST_SECONDS)
    wheels = list(into.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"pip left {len(wheels)} wheels for {package.requirement}; expected one")
    return wheels[0]


def take_files(archive: Path, inside: str, names: Iterable[str], into: Path) -> None:
    """Copy the named files out of a zip file; names that it lacks are left for the check that follows."""
    try:
        with zipfile.ZipFile(archive) as opened:
            held = set(opened.namelist())
            for name in names:
                member = f"{inside}/{name}"
                if member in held:
                    _copy(opened, member, into / name)
    except zipfile.BadZipFile as error:
        raise SourceError(f"{archive.name} is not a sound zip file: {error}") from None


def _copy(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def installed_folder(package: Package) -> Path | None:
    """Where an installed copy of the package keeps the files; the package is not imported."""
    spec = importlib.util.find_spec(package.module)
    places = list(spec.submodule_search_locations or []) if spec else []
    folders = [Path(place) / package.inside for place in places]
    return next((folder for folder in folders if folder.is_dir()), None)
