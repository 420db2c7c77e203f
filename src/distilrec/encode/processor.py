"""What this machine's processor is good at, without loading torch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # the last is ARM's name
_CPU_INFO = Path("/proc/cpuinfo")


def fast_bf16_flags() -> list[str]:
    """The processor's own names of its bfloat16 instructions; empty where products in bfloat16 are slow.

    Only Linux tells. Elsewhere the list is empty and float32 is used, which is slower and never wrong.
    """
    flags = _flags(_CPU_INFO)
    return [flag for flag in _BF16_FLAGS if flag in flags]


@cache
def _flags(cpu_info: Path) -> frozenset[str]:
    if not cpu_info.is_file():
        return frozenset()
    lines = (line.partition(":") for line in cpu_info.read_text(encoding="utf-8").splitlines())
    named = (value for key, _, value in lines if key.strip() in ("flags", "Features"))  # x86 and ARM
    return frozenset(flag for value in named for flag in value.split())
