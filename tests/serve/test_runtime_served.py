"""The server around a real exported model says what the model says."""

import pytest
from fakes import client_of

from distilrec.serve.runtime import Runtime


@pytest.fixture(scope="module")
def runtime(shared_exports):
    return Runtime.load(shared_exports("transformer"))


@pytest.fixture
def client(runtime, tmp_path):
    with client_of(tmp_path, runtime) as made:
        yield made


def listed(items):
    return [one["item_id"] for one in items]


def test_items_and_scores_are_those_of_the_runtime(client, runtime):
    answer = client.post("/recommend", json={"history": [101, 102, 103], "k": 5}).json()
    (expected,) = runtime.recommend([[101, 102, 103]], k=5)
    assert listed(answer["items"]) == expected.item_ids
    assert [one["score"] for one in answer["items"]] == pytest.approx(expected.scores.tolist())
    assert answer["model"] == runtime.digest


def test_filters_apply_before_the_best_are_taken(client):
    asked = {"history": [101], "k": 3, "where": {"genre": "even", "tags": ["third 0", "third 1"]}, "block": [100, 104]}
    found = listed(client.post("/recommend", json=asked).json()["items"])
    assert len(found) == 3
    assert all(item % 2 == 0 and (item - 100) % 3 != 2 and item not in (100, 104) for item in found)


@pytest.mark.parametrize("value", [[["a"]], [None], {"a": 1}])
def test_a_condition_that_no_column_could_hold_is_refused(client, value):
    answer = client.post("/recommend", json={"history": [101], "where": {"genre": value}})
    assert answer.status_code == 422
    assert "where.genre" in answer.json()["error"]["what"]


def test_without_a_history_the_popular_items_come_and_the_reason(client):
    answer = client.post("/recommend", json={"history": [7, "x"], "k": 2}).json()
    assert listed(answer["items"]) == [100, 101]  # what was chosen most in training
    assert answer["fallback"] == "none of the 2 items is in the catalogue"
    assert answer["unknown"] == [7, "x"]


def test_similar_items_and_the_inference_protocol_answer_too(client, runtime):
    similar = client.post("/similar", json={"item_ids": [105], "k": 4}).json()["similar"][0]
    assert listed(similar["items"]) == runtime.similar([105], k=4)[0].item_ids
    history = {"name": "history", "datatype": "INT64", "shape": [2, 2], "data": [101, 102, 103, -1]}
    ids, _ = client.post("/v2/models/distilrec/infer", json={"inputs": [history]}).json()["outputs"]
    expected = runtime.recommend([[101, 102], [103]], k=10)
    assert ids["data"] == [item for one in expected for item in one.item_ids]
