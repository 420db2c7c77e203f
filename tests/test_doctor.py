import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from distilrec import __version__, doctor
from distilrec import machine as machine_module
from distilrec.doctor import Finding, examine, lines
from distilrec.machine import usable_cores
from distilrec.sources import Reached

GIB = 2**30


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A made-up machine: files that Linux would show, and no GPU."""
    monkeypatch.setattr(machine_module, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(machine_module, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    monkeypatch.setenv("DISTILREC_CACHE", str(tmp_path / "cache"))

    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    write("meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    return write


def find(name, findings=None):
    (finding,) = [f for f in findings or examine(probe_network=False) if f.name == name]
    return finding


def test_without_the_network_no_source_is_asked(monkeypatch):
    monkeypatch.setattr(doctor, "reachable", lambda: pytest.fail("asked"))
    assert {f.topic for f in examine(probe_network=False)} == {"software", "extras", "machine", "disk"}


def test_versions_of_what_is_installed_are_told():
    assert find("distilrec").value == __version__
    assert find("numpy") == Finding("software", "numpy", metadata.version("numpy"))


def test_a_missing_extra_comes_with_the_line_that_installs_it(monkeypatch):
    requires = ["numpy<3,>=2", 'torch<3,>=2.8; extra == "train"', "distilrec[train]; extra == 'all'"]
    versions = {"numpy": "2.4.0"}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    made_up = SimpleNamespace(
        requires=lambda name: requires, version=version, PackageNotFoundError=metadata.PackageNotFoundError
    )
    for module in (doctor, machine_module):
        monkeypatch.setattr(module, "metadata", made_up)
    assert find("train") == Finding("extras", "train", "torch missing", False, "pip install 'distilrec[train]'")
    assert [f.name for f in examine(probe_network=False) if f.topic == "extras"] == ["train"]
    versions.clear()
    assert find("numpy") == Finding("software", "numpy", "missing", False, "pip install numpy")


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 4),
        ({"cgroup/cpu.max": "max 100000\n"}, 4),
        ({"cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"cgroup/cpu.max": "900000 100000\n"}, 4),
        ({"cgroup/cpu/cpu.cfs_quota_us": "-1\n", "cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cgroup/cpu/cpu.cfs_quota_us": "200000\n", "cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 2),
    ],
)
def test_usable_cores_are_the_affinity_within_the_quota(monkeypatch, machine, files, cores):
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    for name, text in files.items():
        machine(name, text)
    assert usable_cores() == cores


def test_memory_is_what_the_machine_has(machine):
    assert find("memory").value == "16.0 GiB in all, 8.0 GiB free"
    assert find("memory").ok


@pytest.mark.parametrize("name", ["cgroup/memory.max", "cgroup/memory/memory.limit_in_bytes"])
def test_memory_is_no_more_than_the_control_group_allows(machine, name):
    machine(name, f"{4 * GIB}\n")
    assert find("memory").value == "4.0 GiB in all, 4.0 GiB free"


def test_little_memory_is_said_to_be_little(machine):
    machine("meminfo", "MemTotal: 2097152 kB\nMemAvailable: 1048576 kB\n")
    assert not find("memory").ok
    assert find("memory").advice == "a run on 10,000 items may need 3.0 GiB; close other programs"


def test_bfloat16_is_told_by_the_processors_own_name(monkeypatch):
    monkeypatch.setattr(doctor, "fast_bf16_flags", lambda: ["avx512_bf16"])
    assert find("bfloat16").value == "avx512_bf16"
    monkeypatch.setattr(doctor, "fast_bf16_flags", list)
    assert "float32 is used" in find("bfloat16").value


def test_a_gpu_is_named_by_nvidia_smi(monkeypatch):
    assert find("gpu").value == "none; everything runs on the processor"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/bin/nvidia-smi")
    answer = SimpleNamespace(stdout="NVIDIA T4, 15360 MiB\nNVIDIA T4, 15360 MiB\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *args, **kwargs: answer)
    assert find("gpu").value == "NVIDIA T4, 15360 MiB; NVIDIA T4, 15360 MiB"


def test_an_nvidia_smi_that_hangs_is_reported(monkeypatch):
    def hang(command, timeout, **kwargs):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/bin/nvidia-smi")
    monkeypatch.setattr(doctor.subprocess, "run", hang)
    assert find("gpu").value.startswith("nvidia-smi does not answer")


def test_the_disk_of_the_cache_is_measured_before_the_cache_exists(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: SimpleNamespace(free=5 * GIB))
    assert find(str(tmp_path / "cache")) == Finding("disk", str(tmp_path / "cache"), "5.0 GiB free")


def test_a_nearly_full_disk_comes_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: SimpleNamespace(free=GIB))
    finding = find(str(tmp_path / "cache"))
    assert (finding.ok, finding.advice) == (False, "free 2.0 GiB, or set DISTILREC_CACHE to another disk")


def test_a_cache_that_cannot_be_written_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "access", lambda place, mode: False)
    finding = find(str(tmp_path / "cache"))
    assert (finding.value, finding.advice) == ("cannot be written", "set DISTILREC_CACHE to another folder")


def test_each_source_says_whether_it_answers(monkeypatch):
    monkeypatch.setattr(doctor, "reachable", lambda: [Reached("A", True), Reached("B", False, "no answer in time")])
    findings = [f for f in examine() if f.topic == "sources"]
    assert findings == [Finding("sources", "A", "answers"), Finding("sources", "B", "no answer in time", False)]


def test_when_no_source_answers_the_way_without_them_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "reachable", lambda: [Reached("A", False, "no answer in time")])
    last = examine()[-1]
    assert (last.name, last.advice) == ("none answers", "see docs/sources.md for the files to bring along")


def test_lines_are_grouped_by_topic_with_the_advice_at_the_end():
    findings = [Finding("machine", "cores", "2"), Finding("extras", "train", "none", False, "install it")]
    assert lines(findings) == ["machine:", "  ok  cores: 2", "extras:", "  --  train: none  ->  install it"]


def test_examining_loads_no_heavy_library():
    code = (
        "import sys; from distilrec import doctor; doctor.examine(probe_network=False); "
        "assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
