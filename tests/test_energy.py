"""Joules from counters of a made-up powercap folder, or from processor time where there are none."""

import ctypes
import time

import pytest

from distilrec import energy
from distilrec.energy import Energy, EnergySettings, joules_per_thousand, measure_energy
from distilrec.errors import SettingsError


def add_zone(powercap, zone, name, microjoules, largest=1_000_000):
    """A counter as Linux shows it: a folder with three files."""
    folder = powercap / zone
    folder.mkdir(parents=True, exist_ok=True)
    for file, held in (("name", name), ("energy_uj", microjoules), ("max_energy_range_uj", largest)):
        (folder / file).write_text(f"{held}\n")


def counted(powercap, **after):
    """Joules of a block in which counters come to stand as told."""
    with measure_energy(EnergySettings(powercap=powercap)) as found:
        for zone, microjoules in after.items():
            (powercap / f"intel-rapl:{zone}" / "energy_uj").write_text(f"{microjoules}\n")
    return found


def test_a_counter_is_read_before_and_after(tmp_path):
    add_zone(tmp_path, "intel-rapl:0", "package-0", 100_000)
    found = counted(tmp_path, **{"0": 600_000})
    assert (found.joules, found.energy.source, found.energy.watts_per_core) == (0.5, "rapl", None)
    assert str(found.energy) == "0.5 J, counted by the processor (RAPL)"


def test_a_counter_that_went_round_is_followed(tmp_path):
    """From 900,000 to its largest, 999,999, one step to 0, and 400,000 more."""
    add_zone(tmp_path, "intel-rapl:0", "package-0", 900_000, largest=999_999)
    assert counted(tmp_path, **{"0": 400_000}).joules == 0.5


def test_packages_and_memory_count_and_what_is_within_them_does_not(tmp_path):
    for zone, name in [("0", "package-0"), ("0:0", "core"), ("0:1", "dram"), ("1", "package-1"), ("2", "psys")]:
        add_zone(tmp_path, f"intel-rapl:{zone}", name, 0)
    add_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0)
    after = {"0": 100_000, "0:0": 70_000, "0:1": 20_000, "1": 300_000, "2": 900_000}
    assert counted(tmp_path, **after).joules == pytest.approx(0.42)


@pytest.mark.parametrize("held", ["", "not a number"])
def test_a_counter_that_cannot_be_read_gives_an_estimate(tmp_path, held):
    add_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    add_zone(tmp_path, "intel-rapl:1", "package-1", held)
    assert counted(tmp_path).energy.source == "estimate"


def test_a_counter_that_is_missing_gives_an_estimate(tmp_path):
    add_zone(tmp_path, "intel-rapl:0", "package-0", 5)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert counted(tmp_path).energy.source == "estimate"


def test_an_estimate_is_processor_time_at_the_stated_power(tmp_path):
    """Waiting takes no processor time; working does."""
    settings = EnergySettings(powercap=tmp_path, watts_per_core=8)
    with measure_energy(settings) as waiting:
        time.sleep(0.05)
    with measure_energy(settings) as working:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    assert working.joules == pytest.approx(8 * working.energy.processor_seconds)
    assert waiting.joules < 0.2 < 0.4 <= working.joules
    assert str(Energy(0.4, "estimate", 0.05, 8.0)) == "0.4 J, an estimate: processor time at 8.0 W a core"


def test_a_thousand_take_a_thousand_times_one():
    assert joules_per_thousand(Energy(3.0, "estimate", 0.6, 5.0), 200) == 15


def test_no_recommendations_have_no_energy_each():
    with pytest.raises(SettingsError, match=r"count is 0; expected how many recommendations .* from 1"):
        joules_per_thousand(Energy(3.0, "rapl", 1.0), 0)


def test_energy_is_not_known_before_the_block_ends(tmp_path):
    with (
        measure_energy(EnergySettings(powercap=tmp_path)) as found,
        pytest.raises(SettingsError, match="known when the block of measure_energy has ended"),
    ):
        _ = found.joules


class MadeUpDriver:
    """Two GPUs that have taken 1 and 2 J more at each reading."""

    def __init__(self, code=0):
        self.code, self.readings = code, 0

    def nvmlInit_v2(self):  # noqa: N802
        self.readings += 1
        return self.code

    def nvmlDeviceGetCount_v2(self, count):  # noqa: N802
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number, handle):  # noqa: N802
        handle._obj.value = number.value + 1
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, millijoules):  # noqa: N802
        millijoules._obj.value = handle.value * 1000 * self.readings
        return 0


def test_gpus_are_read_by_their_driver(monkeypatch):
    driver = MadeUpDriver()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    with measure_energy(EnergySettings(device="gpu")) as found:
        pass
    assert (found.joules, found.energy.label) == (3.0, "counted by the GPU (NVML)")


def test_a_gpu_without_a_driver_is_not_estimated(monkeypatch):
    monkeypatch.setattr(energy, "_NVML", "libnothing.so")
    with (
        pytest.raises(SettingsError, match=r"libnothing\.so cannot be loaded\. Set device to cpu"),
        measure_energy(EnergySettings(device="gpu")),
    ):
        pass


def test_a_driver_that_refuses_is_told(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: MadeUpDriver(code=9))
    with (
        pytest.raises(SettingsError, match="nvmlInit_v2 failed with code 9"),
        measure_energy(EnergySettings(device="gpu")),
    ):
        pass
