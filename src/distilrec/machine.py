"""What this machine is: its processor, the cores and the memory that may be used. Figures of speed name it."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from distilrec import __version__

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_CPUINFO = Path("/proc/cpuinfo")
_LIBRARIES = ("torch", "numpy")


def machine_facts() -> dict[str, str]:
    """The machine and the libraries that speed depends on, as words."""
    total, _ = memory_bytes()
    versions = {name: installed_version(name) for name in _LIBRARIES}
    return {
        "processor": processor(),
        "cores": f"{usable_cores():g} usable",
        "memory": "unknown" if total is None else f"{total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "distilrec": __version__,
        **{name: version for name, version in versions.items() if version is not None},
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    lines = _text(_CPUINFO).splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.processor() or platform.machine()])[0]


def installed_version(name: str) -> str | None:
    """The version of an installed distribution; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def usable_cores() -> float:
    """Cores that this process may use at once: its affinity, and the quota of its control group."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(float(affinity), _quota_in_cores() or float(affinity))


def _quota_in_cores() -> float | None:
    quota, period = [*_words(_CGROUP / "cpu.max"), "", ""][:2]  # version 2: "max 100000" or "150000 100000"
    if not quota:
        quota = "".join(_words(_CGROUP / "cpu/cpu.cfs_quota_us"))  # version 1: -1 means no limit
        period = "".join(_words(_CGROUP / "cpu/cpu.cfs_period_us"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def memory_bytes() -> tuple[int | None, int | None]:
    """Bytes of memory in all and free, within the limit of the control group; None where the system does not say."""
    total, available = _meminfo("MemTotal"), _meminfo("MemAvailable")
    limit = _memory_limit()
    if limit is not None and total is not None and limit < total:
        return limit, min(limit, available or limit)
    return total, available


def _meminfo(key: str) -> int | None:
    for line in _text(_MEMINFO).splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024  # the file counts in KiB
    if key == "MemTotal" and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _memory_limit() -> int | None:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # version 2, version 1
        value = "".join(_words(_CGROUP / name))
        if value.isdigit():
            return int(value)
    return None


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # not Linux, or hidden by a container: a fact that is then unknown, not an error
        return ""
