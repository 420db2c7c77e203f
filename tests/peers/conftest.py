"""Peers that are no libraries: a program of a test's own, run by this Python."""

import shutil
import sys
from pathlib import Path

import pytest

from small_world import finished, small  # noqa: F401  (fixtures)

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers"))
import side_by_side


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """The folder of the peers' programs, which holds nothing yet but what all of them import."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    shutil.copy(side_by_side.THEIRS / "files.py", folder)
    monkeypatch.setattr(side_by_side, "THEIRS", folder)
    monkeypatch.setattr(side_by_side, "python_of", lambda name, folder: Path(sys.executable))
    return folder
