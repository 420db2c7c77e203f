"""Malformed requests, made from what the server says of its routes: none may be answered with 5xx."""

import http.client
import json

import hypothesis.strategies as st
import psutil
import pytest
from fakes import client_of
from hypothesis import HealthCheck, given, settings

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a", "b", -1, 2**63]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def of_schema(schema):
    """Values that a schema allows, or nearly: any part may be something else."""
    options = schema.get("anyOf")
    if options:
        right = st.one_of(*map(of_schema, options))
    elif schema.get("type") == "object" and "properties" in schema:
        right = st.fixed_dictionaries({}, optional={n: of_schema(one) for n, one in schema["properties"].items()})
    elif schema.get("type") == "array":
        right = st.lists(of_schema(schema.get("items", {})), max_size=4)
    else:
        kinds = {"string": st.text(max_size=8) | st.sampled_from(["a", "b"]), "integer": st.integers(-2, 20)}
        right = {**kinds, "number": st.floats(), "boolean": st.booleans(), "null": st.none()}.get(
            schema.get("type"), ANYTHING
        )
    return st.one_of(right, right, right, ANYTHING)


TENSOR = {
    "type": "object",
    "properties": {
        "name": {"anyOf": [{"type": "string"}]},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {}},
        "parameters": {"type": "object", "properties": {"binary_data_size": {"type": "integer"}}},
    },
}
INFER = {
    "type": "object",
    "properties": {"inputs": {"type": "array", "items": TENSOR}, "outputs": {}, "parameters": {}},
}
NAMED = st.sampled_from(["history", "k"])
NEARLY = st.builds(
    lambda name, datatype, shape, data: {"name": name, "datatype": datatype, "shape": shape, "data": data},
    NAMED,
    st.sampled_from(["BYTES", "INT64", "FP32", "BOOL"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.lists(st.text(max_size=3) | st.integers() | st.floats() | st.booleans(), max_size=4),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with client_of(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


def refused_or_answered(answer):
    """4xx in our shape, or an answer."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"what", "expected", "came", "do"}, answer.text


def bodies(client, path):
    described = client.get("/openapi.json").json()["paths"][path]["post"]["requestBody"]
    return of_schema(described["content"]["application/json"]["schema"])


def fuzzed(count):
    return settings(max_examples=count, database=None, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.mark.parametrize("count", [25, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("path", ["/recommend", "/similar", "/events"])
def test_no_body_that_nearly_fits_gets_a_5xx(client, path, count):
    @fuzzed(count)
    @given(bodies(client, path))
    def ask(body):
        refused_or_answered(client.post(path, content=json.dumps(body).encode("utf-8", "surrogatepass")))

    ask()


@pytest.mark.parametrize("count", [25, pytest.param(3000, marks=pytest.mark.slow)])
def test_no_tensor_that_nearly_fits_gets_a_5xx(client, count):
    @fuzzed(count)
    @given(of_schema(INFER) | st.fixed_dictionaries({"inputs": st.lists(NEARLY, min_size=1, max_size=3)}))
    def ask(body):
        refused_or_answered(client.post("/v2/models/distilrec/infer", content=json.dumps(body)))

    ask()


@pytest.mark.parametrize("count", [25, pytest.param(3000, marks=pytest.mark.slow)])
def test_no_bytes_address_or_header_gets_a_5xx(client, count):
    paths = st.sampled_from(
        ["/recommend", "/events", "/similar", "/v2/models/distilrec/infer", "/users/%00", "/%ff/..", "/v2"]
    )
    headers = st.dictionaries(
        st.sampled_from(["Inference-Header-Content-Length", "X-Request-Id", "Content-Type", "Authorization"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
    )

    @fuzzed(count)
    @given(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]), paths, st.binary(max_size=60), headers)
    def ask(method, path, body, sent):
        answer = client.request(method, path, content=body, headers=sent)
        if method == "HEAD":
            assert answer.status_code < 500
        else:
            refused_or_answered(answer)

    ask()


@pytest.mark.slow
def test_ten_thousand_malformed_requests_leave_a_worker_no_larger(shared_server, client):
    """The first thousand warm caches up; after that nothing may grow."""
    found = []

    @fuzzed(500)
    @given(bodies(client, "/recommend"))
    def collect(body):
        found.append(json.dumps(body).encode("utf-8", "surrogatepass"))

    collect()
    worker = psutil.Process(shared_server.workers()[0])
    connection = http.client.HTTPConnection("127.0.0.1", shared_server.port, timeout=20)
    for number in range(11_000):
        connection.request("POST", "/recommend", found[number % len(found)])
        answer = connection.getresponse()
        answer.read()
        assert answer.status < 500
        if number == 1000:
            before = worker.memory_info().rss
    connection.close()
    assert worker.memory_info().rss - before < 4 << 20
