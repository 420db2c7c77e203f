"""Memory of this process: its peak, and what was freed, kept for what comes next or given back to the system."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_LARGEST_LEARNT_FROM = 31 << 20  # bytes; glibc stops at 32 MiB


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed blocks of up to 31 MiB for what comes next; say whether it could be asked.

    glibc fetches new pages for every large block, and the system clears each, until a block as large has been freed
    (mallopt(3), "dynamic mmap threshold"). So one is freed here; it is never written to, and costs nothing. Without
    this, clearing pages took a sixth of the time of encoding a catalogue and a twentieth of training. What is kept is
    at most twice that size at the heap's end, which `give_back_freed_memory` gives back.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    library.malloc.argtypes, library.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    library.free.argtypes, library.free.restype = [ctypes.c_void_p], None
    library.free(library.malloc(_LARGEST_LEARNT_FROM))
    return True


def give_back_freed_memory() -> bool:
    """Ask the C library to return freed pages; say whether it could.

    glibc keeps what was freed for later, in pieces that no longer fit what is asked for next. Training allocates
    arrays of ever other sizes, so that without this a long run grows by gigabytes that nothing uses. Costs a few
    milliseconds. Other C libraries return pages by themselves.
    """
    if not sys.platform.startswith("linux"):
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    return bool(trim is not None and trim(0))


def peak_memory_bytes() -> int | None:
    """The most memory that this process has held; None where the system does not say.

    On Linux from its status file: `getrusage` would tell the peak of the process that started this one, if that is
    higher.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
