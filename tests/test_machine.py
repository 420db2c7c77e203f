"""What a figure of speed says of the machine that it was measured on."""

import os
import platform

from distilrec import __version__, machine


def test_the_machine_and_what_speed_depends_on_are_named(monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Swift 9000\n")
    (tmp_path / "meminfo").write_text("MemTotal: 4194304 kB\n")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(machine, "installed_version", {"numpy": "2.4.0"}.get)
    assert machine.machine_facts() == {
        "processor": "Swift 9000",
        "cores": "2 usable",
        "memory": "4.0 GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "distilrec": __version__,
        "numpy": "2.4.0",
    }


def test_a_system_that_tells_nothing_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "none")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "none")
    monkeypatch.setattr(machine.os, "sysconf_names", {}, raising=False)
    facts = machine.machine_facts()
    assert facts["processor"] == (platform.processor() or platform.machine())
    assert facts["memory"] == "unknown"
    assert os.cpu_count() is not None
