import shutil

import pytest
from tiny_bert import save_tiny_bert


@pytest.fixture(scope="session")
def saved_bert(tmp_path_factory):
    pytest.importorskip("transformers", reason="transformers is not installed")
    return save_tiny_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def bert(saved_bert, tmp_path):
    """A copy to change."""
    return shutil.copytree(saved_bert, tmp_path / "bert")
