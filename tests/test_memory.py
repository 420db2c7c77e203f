"""Freed memory is kept or goes back to the system, where the C library can be told to do so."""

import platform
import resource
import subprocess
import sys

import pytest

from distilrec.memory import give_back_freed_memory, keep_freed_memory, peak_memory_bytes

GROWING_BLOCKS = """
import ctypes, resource, sys
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: where huge pages are the rule, few are counted
from distilrec.memory import keep_freed_memory, peak_memory_bytes
if sys.argv[1] == "keep":
    keep_freed_memory()
for megabytes in (5, 10, 15, 20, 25):
    block = b"x" * (megabytes * 1_000_000)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_on_linux_freed_pieces_between_kept_ones_go_back():
    """glibc can't shrink the heap below a piece that is still in use; trimming returns the pages between."""
    pieces = [bytearray(100_000) for _ in range(1_000)]
    del pieces[::2]
    assert give_back_freed_memory() == sys.platform.startswith("linux")
    assert all(len(piece) == 100_000 for piece in pieces)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have their own ways")
def test_freed_blocks_are_used_again_by_larger_ones_instead_of_new_pages():
    """Blocks of 5 to 25 million bytes are 75 million of new pages, but only 25 when each grows out of the last."""
    pages = {}
    for way in ("keep", "not"):
        done = subprocess.run([sys.executable, "-c", GROWING_BLOCKS, way], check=True, capture_output=True, text=True)
        pages[way] = int(done.stdout)
    saved = (pages["not"] - pages["keep"]) * resource.getpagesize()
    assert 45_000_000 < saved < 55_000_000


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert give_back_freed_memory() is False
    assert keep_freed_memory() is False


def test_the_peak_counts_what_was_held_and_let_go():
    before = peak_memory_bytes()
    held = bytearray(200 << 20)
    held[::4096] = b"1" * len(held[::4096])  # written to, so that the pages are there
    del held
    assert before > 0
    assert peak_memory_bytes() >= 200 << 20
