"""What this machine's processor is good at, without loading torch for it."""

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


def takes_bf16(wanted: str, device: str) -> bool:
    """Whether matrix products are done in bfloat16: as `wanted` says; with auto, where that is faster than float32.

    `device` is torch's name of it, such as cpu or cuda:1.
    """
    if wanted != "auto":
        return wanted == "bfloat16"
    if device.startswith("cuda"):
        import torch

        return bool(torch.cuda.is_bf16_supported())
    return device == "cpu" and bool(fast_bf16_flags())


@cache
def _flags(cpu_info: Path) -> frozenset[str]:
    if not cpu_info.is_file():
        return frozenset()
    lines = (line.partition(":") for line in cpu_info.read_text(encoding="utf-8").splitlines())
    named = (value for key, _, value in lines if key.strip() in ("flags", "Features"))  # x86 and ARM
    return frozenset(flag for value in named for flag in value.split())
