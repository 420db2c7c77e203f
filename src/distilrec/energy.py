"""Joules of a piece of work: read from counters where there are any, otherwise estimated, and labelled so.

Counters count a whole processor or GPU, with what else runs on it: measure on a machine that does nothing else.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from distilrec.config import Settings
from distilrec.errors import SettingsError

Source = Literal["rapl", "nvml", "estimate"]

_NVML = "libnvidia-ml.so.1"
_COUNTED = {"rapl": "counted by the processor (RAPL)", "nvml": "counted by the GPU (NVML)"}


class EnergySettings(Settings):
    """Where energy is read, and what is assumed where it can't be."""

    device: Literal["cpu", "gpu"] = "cpu"
    """What does the work. A processor's counters are estimated where they can't be read, a GPU's never."""
    watts_per_core: float = Field(default=5.0, gt=0)
    """Power of a busy core, for estimates: a server processor of 64 cores and 280 W takes 4.4 W for each."""
    powercap: Path = Path("/sys/class/powercap")
    """The folder of the processor's counters; since Linux 5.10 root alone reads them."""


@dataclass(frozen=True)
class Energy:
    """What some work took. Read `source` before comparing: an estimate is processor time in another unit."""

    joules: float
    source: Source
    processor_seconds: float  # of all threads of this process; other processes' are not among them
    watts_per_core: float | None = None  # that an estimate assumes

    def __str__(self) -> str:
        return f"{self.joules:.3g} J, {self.label}"

    @property
    def label(self) -> str:
        """How it is known, to be shown beside the number."""
        estimate = f"an estimate: processor time at {self.watts_per_core} W a core"
        return estimate if self.source == "estimate" else _COUNTED[self.source]


class Measured:
    """The energy of a block of work, known when the block has ended."""

    def __init__(self) -> None:
        self._energy: Energy | None = None

    @property
    def energy(self) -> Energy:
        """What the block took."""
        if self._energy is None:
            raise SettingsError("the energy is known when the block of measure_energy has ended; ask after it")
        return self._energy

    @property
    def joules(self) -> float:
        """Joules of the block."""
        return self.energy.joules


@contextmanager
def measure_energy(settings: EnergySettings | None = None) -> Iterator[Measured]:
    """Measure the energy of a block: `with measure_energy() as found: ...`, and then `found.joules`.

    Counters move about every millisecond, and go round after some 260 kJ: measure more than a tenth of a second, and
    less than half an hour.

    Raises:
        SettingsError: a GPU's energy is asked for, and no driver tells it.
    """
    settings = settings or EnergySettings()
    measured = Measured()
    zones = _zones(settings.powercap) if settings.device == "cpu" else []
    gpus = _gpu_joules() if settings.device == "gpu" else 0.0
    before, began = [zone.read() for zone in zones], time.process_time()
    yield measured
    seconds, after = time.process_time() - began, [zone.read() for zone in zones]
    if settings.device == "gpu":
        measured._energy = Energy(_gpu_joules() - gpus, "nvml", seconds)
    elif zones:
        counted = sum(zone.between(*reads) for zone, *reads in zip(zones, before, after, strict=True))
        measured._energy = Energy(counted / 1e6, "rapl", seconds)
    else:
        measured._energy = Energy(seconds * settings.watts_per_core, "estimate", seconds, settings.watts_per_core)


def joules_per_thousand(energy: Energy, count: int) -> float:
    """Joules of a thousand recommendations, from the energy of `count`."""
    if count < 1:
        raise SettingsError(f"count is {count}; expected how many recommendations the energy was measured of, from 1")
    return energy.joules * 1000 / count


@dataclass(frozen=True)
class _Zone:
    """One counter of microjoules, which starts again at 0 after its largest."""

    counter: Path
    largest: int

    def read(self) -> int:
        return int(self.counter.read_text())

    def between(self, before: int, after: int) -> int:
        return after - before if after >= before else after - before + self.largest + 1


def _zones(powercap: Path) -> list[_Zone]:
    """Packages, and memory where it is counted beside them; none unless all can be read.

    Cores are within their package, and `intel-rapl-mmio` is the same package once more.
    """
    zones: list[_Zone] = []
    for folder in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (folder / "name").read_text().strip()
            if not name.startswith("package") and name != "dram":
                continue
            zone = _Zone(folder / "energy_uj", int((folder / "max_energy_range_uj").read_text()))
            zone.read()
        except (OSError, ValueError):  # a counter that this user may not read: then it is estimated, and labelled so
            return []
        zones.append(zone)
    return zones


def _gpu_joules() -> float:
    """What all GPUs have taken since their driver was loaded."""
    try:
        nvml = ctypes.CDLL(_NVML)
    except OSError:
        raise SettingsError(f"no GPU tells its energy here: {_NVML} cannot be loaded. Set device to cpu") from None
    count, handle, millijoules = ctypes.c_uint(), ctypes.c_void_p(), ctypes.c_ulonglong()
    _call(nvml, "nvmlInit_v2")
    _call(nvml, "nvmlDeviceGetCount_v2", ctypes.byref(count))
    joules = 0.0
    for number in range(count.value):
        _call(nvml, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(number), ctypes.byref(handle))
        _call(nvml, "nvmlDeviceGetTotalEnergyConsumption", handle, ctypes.byref(millijoules))
        joules += millijoules.value / 1000
    return joules


def _call(nvml: ctypes.CDLL, name: str, *arguments: object) -> None:
    code = getattr(nvml, name)(*arguments)
    if code:
        raise SettingsError(f"no GPU tells its energy here: {name} failed with code {code}. Set device to cpu")
