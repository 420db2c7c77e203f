import pytest

from distilrec.run import exporting
from served_models import shared_exports  # noqa: F401


@pytest.fixture
def transformer(shared_exports, tmp_path, monkeypatch):  # noqa: F811
    """A saved transformer that is exported at once, since its graph is made already."""
    from served_models import recommender

    graph = (shared_exports("transformer") / "encoder.onnx").read_bytes()
    monkeypatch.setattr(exporting, "encoder_graph", lambda _: graph)
    recommender("transformer").save_pretrained(tmp_path / "model", card="# Mine\n\nWhat it is for.\n")
    return tmp_path / "model"
