"""The Open Inference Protocol, in JSON and with Triton's bytes behind it."""

import json
import struct

import numpy as np
import pytest
from fakes import FakeModel, client_of

INFER = "/v2/models/distilrec/infer"


@pytest.fixture
def client(tmp_path):
    with client_of(tmp_path) as made:
        yield made


@pytest.fixture
def numbers(tmp_path):
    with client_of(tmp_path, FakeModel(ids=(10, 20, 30, 40))) as made:
        yield made


def tensor(name, data, datatype="BYTES", shape=None):
    return {"name": name, "datatype": datatype, "shape": shape or [1, len(data)], "data": data}


def test_health_and_metadata(client):
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/distilrec/ready",
        "/v2/models/distilrec/versions/1/ready",
    ):
        assert client.get(path).status_code == 200
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    told = client.get("/v2/models/distilrec").json()
    assert [(one["name"], one["datatype"]) for one in told["inputs"]] == [("history", "BYTES"), ("k", "INT32")]
    assert told["versions"] == ["first"]


def test_a_history_is_answered_with_ids_and_scores(client):
    asked = {"id": "7", "inputs": [tensor("history", ["a", "b"]), tensor("k", [2], "INT32", [1])]}
    assert client.post(INFER, json=asked).json() == {
        "model_name": "distilrec",
        "model_version": "first",
        "id": "7",
        "outputs": [
            {"name": "item_ids", "datatype": "BYTES", "shape": [1, 2], "data": ["c", "d"]},
            {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 1.0]},
        ],
    }


@pytest.mark.parametrize("data", [[["a", ""], ["a", "b"]], ["a", "", "a", "b"]])
def test_rows_are_filled_up_with_empty_text_and_may_be_nested(client, data):
    asked = {"inputs": [tensor("history", data, shape=[2, 2])], "outputs": [{"name": "item_ids"}]}
    (ids,) = client.post(INFER, json=asked).json()["outputs"]
    assert ids["data"] == ["b", "c", "d", "a", "c", "d", "a", "b"]


def test_whole_numbers_are_filled_up_with_minus_one(numbers):
    asked = {"inputs": [tensor("history", [10, -1], "INT64")]}
    ids, _ = numbers.post(INFER, json=asked).json()["outputs"]
    assert (ids["datatype"], ids["data"]) == ("INT64", [20, 30, 40, 10])


def test_bytes_behind_the_json_are_read_and_written(numbers):
    raw = np.array([10, 20], dtype="<i8").tobytes()
    history = {"name": "history", "datatype": "INT64", "shape": [1, 2], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [history], "parameters": {"binary_data_output": True}}).encode()
    answer = numbers.post(INFER, content=head + raw, headers={"Inference-Header-Content-Length": str(len(head))})
    length = int(answer.headers["inference-header-content-length"])
    told = json.loads(answer.content[:length])
    assert [one["parameters"]["binary_data_size"] for one in told["outputs"]] == [32, 16]
    assert np.frombuffer(answer.content[length : length + 32], "<i8").tolist() == [30, 40, 10, 20]
    assert np.frombuffer(answer.content[length + 32 :], "<f4").tolist() == [4, 3, 2, 1]


def test_text_travels_as_bytes_with_its_length_before_it(client):
    raw = b"".join(struct.pack("<I", len(text)) + text for text in (b"a", b"b"))
    history = {"name": "history", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": len(raw)}}
    wanted = {"name": "item_ids", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [history], "outputs": [wanted]}).encode()
    answer = client.post(INFER, content=head + raw, headers={"Inference-Header-Content-Length": str(len(head))})
    length = int(answer.headers["inference-header-content-length"])
    assert answer.content[length:] == b"".join(struct.pack("<I", 1) + text for text in (b"c", b"d", b"a", b"b"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "the body is wrong"),
        ({}, "inputs is wrong"),
        ({"inputs": [7]}, "inputs.0 is wrong"),
        ({"inputs": [tensor("k", [1], "INT32", [1])]}, "a tensor named history"),
        ({"inputs": [tensor("pixels", [1], "INT32", [1])]}, "the tensors history and k"),
        ({"inputs": [tensor("history", ["a"], "TEXT")]}, "inputs.0.datatype is wrong"),
        ({"inputs": [tensor("history", ["a"], ["BYTES"])]}, "inputs.0.datatype is wrong"),
        ({"inputs": [tensor("history", ["a"], shape=[-1, 1])]}, "inputs.0.shape is wrong"),
        ({"inputs": [tensor("history", ["a"], shape=[9, 9])]}, "81 values, as shape [9, 9] says"),
        ({"inputs": [tensor("history", [{}])]}, "inputs.0.data is wrong"),
        ({"inputs": [tensor("history", [1.5], "FP32")]}, "ids as whole numbers or text"),
        ({"inputs": [tensor("history", ["a"]), tensor("k", [0], "INT32", [1])]}, "the tensor k is wrong"),
        ({"inputs": [tensor("history", ["a"])], "outputs": [{"name": "weights"}]}, "outputs is wrong"),
        ({"inputs": [tensor("history", ["a"] * 300, shape=[300, 1])]}, "B at most 256"),
        ({"inputs": [{**tensor("history", []), "parameters": {"binary_data_size": 9}}]}, "binary_data_size is wrong"),
    ],
)
def test_what_the_protocol_does_not_say_is_refused(client, asked, told):
    answer = client.post(INFER, json=asked)
    assert answer.status_code == 400
    assert told in " | ".join(answer.json()["error"].values())


def test_bytes_that_are_cut_short_or_no_text_are_refused(client):
    for raw in (b"\x01", struct.pack("<I", 9) + b"a", struct.pack("<I", 1) + b"\xff"):
        history = {
            "name": "history",
            "datatype": "BYTES",
            "shape": [1, 1],
            "parameters": {"binary_data_size": len(raw)},
        }
        head = json.dumps({"inputs": [history]}).encode()
        sent = {"Inference-Header-Content-Length": str(len(head))}
        assert client.post(INFER, content=head + raw, headers=sent).status_code == 400
    assert client.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": "900"}).status_code == 400


def test_another_model_or_version_is_not_there(client):
    assert client.get("/v2/models/other").status_code == 404
    refused = client.get("/v2/models/distilrec/versions/0")
    assert refused.json()["error"]["expected"] == "distilrec, version first or 1"
