import sys
import warnings
from dataclasses import dataclass

import pytest

from small_world import copied, finished, quick, small  # noqa: F401  (fixtures)


@dataclass(frozen=True)
class Called:
    """What a command left for whoever typed it."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch, capsys):
    """Types `distilrec ...`; an exception that is not turned into a message and an exit code fails the test."""
    from distilrec.cli import main

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["distilrec", *map(str, arguments)])
        capsys.readouterr()
        with warnings.catch_warnings(action="default"), pytest.raises(SystemExit) as end:  # main shows them its own way
            main()
        captured = capsys.readouterr()
        return Called(end.value.code, captured.out, captured.err)

    return call
