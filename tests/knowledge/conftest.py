import shutil

import pytest
from small_knowledge import write


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A finished knowledge folder, written once and not to be changed."""
    folder = tmp_path_factory.mktemp("knowledge") / "written"
    write(folder)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(written, tmp_path / "knowledge")
