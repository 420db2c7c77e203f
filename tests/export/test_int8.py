"""Encoders in int8 say nearly the same, and only where that can be."""

import numpy as np
import pytest

from distilrec.errors import ArtifactError, SettingsError
from distilrec.export.int8 import int8_encoder
from distilrec.export.parity import Parity, check_overlap
from distilrec.files import read_json
from distilrec.run.exporting import ExportSettings, export
from distilrec.serve.encoder import OnnxEncoder
from distilrec.serve.runtime import Runtime
from served_models import histories, student

TABLE = student("transformer").state()["table.weight"]


@pytest.fixture(scope="module")
def plain(shared_exports):
    return (shared_exports("transformer") / "encoder.onnx").read_bytes()


def sample(length):
    rows = histories(length)[0]
    return TABLE[rows][None], np.array([length])


@pytest.mark.parametrize("samples", [None, [sample(length) for length in (1, 2, 3, 4, 5, 6)]])
def test_vectors_point_almost_the_same_way(plain, samples):
    first, small = OnnxEncoder(plain), OnnxEncoder(int8_encoder(plain, samples))
    for length in (1, 4, 6):
        asked = sample(length)
        a, b = first(*asked)[0], small(*asked)[0]
        assert 0.99 < a @ b / np.linalg.norm(a) / np.linalg.norm(b) < 1


def test_a_static_range_that_was_too_small_is_seen(plain):
    """Numbers beyond what calibration saw are cut off: that is why it wants real histories."""
    vectors, lengths = sample(6)
    narrow = OnnxEncoder(int8_encoder(plain, [(vectors / 100, lengths)]))
    off = np.abs(narrow(vectors, lengths) - OnnxEncoder(plain)(vectors, lengths)).max()
    right = OnnxEncoder(int8_encoder(plain, [(vectors, lengths)]))
    assert off > 2 * np.abs(right(vectors, lengths) - OnnxEncoder(plain)(vectors, lengths)).max()


def test_an_encoder_without_products_is_refused(shared_exports):
    graph = (shared_exports("matrix_factorisation") / "encoder.onnx").read_bytes()
    with pytest.raises(ArtifactError, match="no product with weights that could be in int8; export it in float32"):
        int8_encoder(graph)


def test_too_large_a_loss_is_refused():
    found = Parity("int8", 20, 0.1, 0.85, 0.9, 10)
    check_overlap(found, least=0.85)
    with pytest.raises(ArtifactError, match=r"loses too much in int8: .* at least 90 % of the best items was expected"):
        check_overlap(found, least=0.9)


def test_exported_whole_it_is_certified(transformer, tmp_path):
    asked = histories(3, 5, 2)
    settings = ExportSettings(encoder="int8_static", histories=3, least_overlap=0.5)
    with pytest.raises(SettingsError, match="int8_static is calibrated on histories of real users, and there are none"):
        export(transformer, tmp_path / "out", settings, histories=asked, calibration=[])
    assert not (tmp_path / "out").exists()
    report = export(transformer, tmp_path / "out", settings, histories=asked, calibration=histories(6, 4, 1))
    assert [one.name for one in report.parities] == [
        "ONNX beside torch",
        "ONNX with an encoder in int8_static beside torch",
        "all-in-one graph beside the encoder and the table",
    ]
    assert read_json(tmp_path / "out" / "parity.json")["encoder"] == "int8_static"
    assert Runtime.load(tmp_path / "out").recommend([[100]], k=3)[0].fallback is None
