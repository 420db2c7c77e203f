import pytest

from distilrec.encode import processor
from distilrec.encode.processor import fast_bf16_flags, takes_bf16


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_bf16\n", ["avx512_bf16", "amx_bf16"]),
        ("Features\t: fp asimd bf16\n", ["bf16"]),
        ("flags\t\t: fpu avx2\nbugs\t\t: avx512_bf16\n", []),
    ],
)
def test_the_processors_own_names_are_read(tmp_path, monkeypatch, content, expected):
    (tmp_path / "cpuinfo").write_text(content)
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    assert fast_bf16_flags() == expected


def test_where_the_system_does_not_tell_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "absent")
    assert fast_bf16_flags() == []


@pytest.mark.parametrize("flags", [["avx512_bf16"], []])
def test_a_processor_takes_bfloat16_where_it_has_instructions_for_it_unless_told(monkeypatch, flags):
    monkeypatch.setattr(processor, "fast_bf16_flags", lambda: flags)
    assert takes_bf16("auto", "cpu") == bool(flags)
    assert takes_bf16("bfloat16", "cpu")
    assert not takes_bf16("float32", "cpu")
    assert not takes_bf16("auto", "mps")  # the processor's instructions are no matter there


@pytest.mark.parametrize("supported", [True, False])
def test_a_gpu_is_asked_itself(monkeypatch, supported):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: supported)
    assert takes_bf16("auto", "cuda:1") == supported
    assert not takes_bf16("float32", "cuda")
