"""Freed memory goes back to the system, where the C library can be told to do so."""

import sys

from distilrec.memory import give_back_freed_memory


def test_on_linux_freed_pieces_between_kept_ones_go_back():
    """glibc can't shrink the heap below a piece that is still in use; trimming returns the pages between."""
    pieces = [bytearray(100_000) for _ in range(1_000)]
    del pieces[::2]
    assert give_back_freed_memory() == sys.platform.startswith("linux")
    assert all(len(piece) == 100_000 for piece in pieces)


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert give_back_freed_memory() is False
