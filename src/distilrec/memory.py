"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
import sys


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
