"""Milliseconds a request, in a process of its own."""

import numpy as np
import polars as pl
import pytest

from distilrec.errors import DistilRecError, SettingsError
from distilrec.latency import Latency, milliseconds_of_requests
from distilrec.models.popularity import Popularity
from distilrec.models.transformer import Transformer, TransformerSettings
from distilrec.recommender import Recommender
from distilrec.types import Ragged

ITEMS = pl.DataFrame({"item_id": [10, 11, 12], "train_count": [1, 2, 3]})


@pytest.fixture
def artefacts(tmp_path):
    models = {
        "popularity": Popularity.fit(Ragged.of([[0, 1, 2]]), n_items=3),
        "student": Transformer(TransformerSettings(width=4, max_length=3), 3),
    }
    for name, model in models.items():
        Recommender(model, ITEMS).save_pretrained(tmp_path / name)
    return {name: tmp_path / name for name in models}


def test_every_model_is_timed_as_often_as_asked(artefacts):
    """Fewer items than ten are all ranked; 20 requests of warming up are not counted."""
    found = milliseconds_of_requests(artefacts, [[10, 11], [12]], requests=30)
    assert list(found) == ["popularity", "student"]
    for milliseconds in found.values():
        assert len(milliseconds) == 30
        assert min(milliseconds) > 0


def test_percentiles_of_single_requests():
    """101 requests of 0, 1, ... 100 ms: each percentile is its own number."""
    assert Latency.of(range(101)) == Latency(p50=50, p95=95, p99=99, requests=101)


def test_histories_of_numpy_are_asked_for_too(artefacts):
    assert len(milliseconds_of_requests(artefacts, [np.array([10, 11]), [np.int64(12)]], requests=3)["student"]) == 3


def test_a_failure_in_the_other_process_is_told_in_a_sentence(tmp_path):
    with pytest.raises(DistilRecError, match=r"^the process that measures latency failed: .*nowhere is not a folder"):
        milliseconds_of_requests({"lost": tmp_path / "nowhere"}, [[1]])


@pytest.mark.parametrize(("histories", "requests"), [([], 5), ([[1]], 0)])
def test_nothing_to_ask_is_refused(histories, requests):
    message = f"{len(histories)} histories, {requests} requests: expected at least one of each"
    with pytest.raises(SettingsError, match=message):
        milliseconds_of_requests({}, histories, requests=requests)
