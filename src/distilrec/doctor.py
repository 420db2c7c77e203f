"""What this machine offers DistilRec, and the line to type for what is missing. Loads no heavy library."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from distilrec import __version__
from distilrec.encode.processor import fast_bf16_flags
from distilrec.machine import installed_version, memory_bytes, usable_cores
from distilrec.sources import cache_folder, reachable

_LEAST_FREE_BYTES = 2 * 2**30  # the model, the package it may come in, and one run
_LEAST_MEMORY_BYTES = 3 * 2**30
_NOT_FOR_USERS = ("all", "dev")
_PART = re.compile(r"^\s*([A-Za-z0-9._-]+).*?extra\s*==\s*['\"]([^'\"]+)['\"]")


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says what to do where something could be better."""

    topic: str
    name: str
    value: str
    ok: bool = True
    advice: str = ""


def examine(*, probe_network: bool = True) -> list[Finding]:
    """Everything worth knowing before a first run, in the order to read it."""
    findings = [*_software(), *_extras(), *_machine(), _disk(cache_folder())]
    return [*findings, *_sources()] if probe_network else findings


def lines(findings: list[Finding]) -> list[str]:
    """Plain lines, one for each finding, grouped by topic."""
    text: list[str] = []
    for number, finding in enumerate(findings):
        if number == 0 or finding.topic != findings[number - 1].topic:
            text.append(f"{finding.topic}:")
        mark = "ok" if finding.ok else "--"
        advice = f"  ->  {finding.advice}" if finding.advice else ""
        text.append(f"  {mark}  {finding.name}: {finding.value}{advice}")
    return text


def _software() -> Iterator[Finding]:
    yield Finding("software", "python", f"{platform.python_version()} on {platform.platform()}")
    yield Finding("software", "distilrec", __version__)
    for name in sorted(_parts_of_extras().get("", [])):
        version = installed_version(name)
        yield Finding("software", name, version or "missing", bool(version), _install(name, version))


def _extras() -> Iterator[Finding]:
    for extra, names in _parts_of_extras().items():
        if extra == "" or extra in _NOT_FOR_USERS:
            continue
        versions = {name: installed_version(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        value = ", ".join(f"{name} {version or 'missing'}" for name, version in versions.items())
        advice = f"pip install 'distilrec[{extra}]'" if missing else ""
        yield Finding("extras", extra, value, not missing, advice)


def _parts_of_extras() -> dict[str, list[str]]:
    """The libraries of each extra, as the installed package declares them; "" holds the core."""
    parts: dict[str, list[str]] = {}
    for line in metadata.requires("distilrec") or []:
        match = _PART.match(line)
        name = match[1] if match else re.split(r"[^A-Za-z0-9._-]", line.strip(), maxsplit=1)[0]
        parts.setdefault(match[2] if match else "", []).append(name)
    return parts


def _install(name: str, version: str | None) -> str:
    return "" if version else f"pip install {name}"


def _machine() -> Iterator[Finding]:
    cores = usable_cores()
    yield Finding("machine", "cores", f"{cores:g} usable of {os.cpu_count()}")
    yield _memory()
    flags = fast_bf16_flags()
    yield Finding(
        "machine", "bfloat16", ", ".join(flags) or "no fast instructions known; float32 is used, which is slower"
    )
    yield Finding("machine", "gpu", _gpu() or "none; everything runs on the processor")


def _memory() -> Finding:
    total, available = memory_bytes()
    if total is None:
        return Finding("machine", "memory", "unknown on this system")
    enough = available is None or available >= _LEAST_MEMORY_BYTES
    value = f"{_gib(total)} in all, {_gib(available)} free" if available is not None else f"{_gib(total)} in all"
    advice = "" if enough else f"a run on 10,000 items may need {_gib(_LEAST_MEMORY_BYTES)}; close other programs"
    return Finding("machine", "memory", value, enough, advice)


def _gpu() -> str | None:
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "Apple (name it with device mps)"
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    query = [command, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nvidia-smi does not answer: {error}"
    return "; ".join(done.stdout.split("\n")).strip("; ") or None


def _disk(folder: Path) -> Finding:
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Finding(
            "disk", str(folder), "cannot be written", ok=False, advice="set DISTILREC_CACHE to another folder"
        )
    enough = free >= _LEAST_FREE_BYTES
    advice = "" if enough else f"free {_gib(_LEAST_FREE_BYTES)}, or set DISTILREC_CACHE to another disk"
    return Finding("disk", str(folder), f"{_gib(free)} free", enough, advice)


def _sources() -> Iterator[Finding]:
    answers = reachable()
    for answer in answers:
        yield Finding("sources", answer.source, "answers" if answer.ok else answer.detail, answer.ok)
    if not any(answer.ok for answer in answers):
        yield Finding(
            "sources",
            "none answers",
            "only folders that you name, the cache and installed packages can be used",
            ok=False,
            advice="see docs/sources.md for the files to bring along",
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
