"""Routes, asked as a client asks them."""

import json
from urllib.parse import quote

import pytest
from fakes import FakeModel, client_of


@pytest.fixture
def client(tmp_path):
    with client_of(tmp_path) as made:
        yield made


def items(answer):
    return [one["item_id"] for one in answer.json()["items"]]


def refusal(answer, status):
    """The four parts of a refusal, joined; every one of them says something."""
    assert answer.status_code == status, answer.text
    told = answer.json()["error"]
    assert set(told) == {"what", "expected", "came", "do"}
    assert all(told.values())
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    return " | ".join(told.values())


def test_a_history_is_answered_with_items_and_scores(client):
    answer = client.post("/recommend", json={"history": ["a", "b"], "k": 2})
    assert answer.json() == {
        "items": [{"item_id": "c", "score": 2.0}, {"item_id": "d", "score": 1.0}],
        "fallback": None,
        "unknown": [],
        "ignored": [],
        "model": "first",
    }


def test_more_items_than_there_are_is_all_of_them(client):
    assert items(client.post("/recommend", json={"history": ["d"], "k": 100})) == ["a", "b", "c", "d"]


def test_a_stored_history_is_used_where_none_is_given(client):
    client.post("/events", json={"user_id": 7, "item_id": "c"})
    assert items(client.post("/recommend", json={"user_id": "7", "k": 1})) == ["d"]
    assert items(client.post("/recommend", json={"user_id": 7, "history": ["a"], "k": 1})) == ["b"]


def test_the_fallback_says_that_a_user_is_unknown(client):
    answer = client.post("/recommend", json={"user_id": "eve"}).json()
    assert answer["fallback"] == "user 'eve' has no events yet: popular items are shown"
    assert answer["items"][0]["item_id"] == "a"
    nobody = client.post("/recommend", json={}).json()
    assert nobody["fallback"] == "the request has neither history nor user_id: popular items are shown"


def test_unknown_items_and_unread_context_are_told(client):
    answer = client.post("/recommend", json={"history": ["a", "zzz"], "context": {"device": "phone"}}).json()
    assert answer["unknown"] == ["zzz"]
    assert answer["ignored"] == ["context"]


def test_filters_reach_the_model(client):
    assert items(client.post("/recommend", json={"history": ["a"], "allow": ["c"]})) == ["c"]
    told = refusal(client.post("/recommend", json={"history": ["a"], "where": {"colour": "red"}}), 422)
    assert "where names an unknown column | a column of the catalogue: item_id, title | 'colour'" in told


def test_similar_items_are_listed_for_each(client):
    answer = client.post("/similar", json={"item_ids": ["a", "c"], "k": 1}).json()
    assert [one["items"][0]["item_id"] for one in answer["similar"]] == ["b", "d"]
    assert "not in the catalogue" in refusal(client.post("/similar", json={"item_ids": ["zzz"]}), 422)


def test_an_event_sent_twice_is_stored_once(client):
    event = {"event_id": "e1", "user_id": "u", "item_id": "a", "timestamp": 1.5}
    assert client.post("/events", json=event).json() == {"stored": 1, "known": 0, "event_ids": ["e1"]}
    again = client.post(
        "/events", json={"events": [event, {**event, "event_id": "e2", "item_id": 5, "timestamp": None}]}
    ).json()
    assert again == {"stored": 1, "known": 1, "event_ids": ["e1", "e2"]}
    assert client.get("/users/u").json() == {
        "user_id": "u",
        "events": 2,
        "newest": [
            {"event_id": "e1", "item_id": "a", "timestamp": 1.5},
            {"event_id": "e2", "item_id": 5, "timestamp": None},
        ],
    }


def test_who_is_forgotten_is_unknown_afterwards(client):
    client.post("/events", json={"events": [{"user_id": "u", "item_id": item} for item in ("a", "b")]})
    assert client.delete("/users/u").json() == {"user_id": "u", "deleted": 2, "left": 0}
    assert "the user has no events" in refusal(client.get("/users/u"), 404)
    assert client.post("/recommend", json={"user_id": "u"}).json()["fallback"]


@pytest.mark.parametrize(
    "name", ["ü/\u2028 \U0001f600", "a\x00b", "'; DROP TABLE distilrec_events; --", "a/../b", "\\"]
)
def test_users_and_items_may_be_any_text(client, name):
    stored = client.post("/events", json={"user_id": name, "item_id": name, "event_id": name})
    assert stored.json()["event_ids"] == [name]
    assert client.get(f"/users/{quote(name, safe='')}").json()["newest"][0]["item_id"] == name
    assert client.post("/recommend", json={"user_id": name}).json()["unknown"] == [name]
    assert client.delete(f"/users/{quote(name, safe='')}").json()["deleted"] == 1


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "the body is not JSON | a JSON object in UTF-8"),
        (b'{"history": ["\\ud800"]}', 400, "hex escape"),
        (b'{"history": ["\xff"]}', 400, "the body is not JSON"),
        (b"[" * 5000, 400, "the body is not JSON"),
        (b"7", 422, "the body is wrong"),
        (b'{"history": ["a", true]}', 422, "history.1 is wrong | a valid string or a valid integer | True"),
        (b'{"history": [1.5, null]}', 422, "history.0 is wrong, and 1 more"),
        (b'{"histroy": ["a"]}', 422, "histroy is wrong | Extra inputs are not permitted | ['a']"),
        (b'{"k": 0}', 422, "k is wrong | greater than or equal to 1 | 0"),
        (b'{"k": 2000}', 422, "k is too large | 1 to 1000 | 2000"),
        (b'{"user_id": ""}', 422, "user_id is wrong"),
        (b'{"history": [99999999999999999999999]}', 422, "history.0 is wrong"),
        (b'{"history": ["fault"]}', 422, "the history names a fault"),
    ],
)
def test_a_wrong_request_is_refused_with_what_expected_came_and_what_to_do(client, body, status, told):
    assert told in refusal(client.post("/recommend", content=body), status)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"item_id": "a"}, "user_id is wrong | Field required"),
        ({"events": []}, "events is wrong | List should have at least 1 item"),
        ({"events": [{"user_id": "u", "item_id": "a", "timestamp": "now"}]}, "events.0.timestamp is wrong"),
        ({"user_id": "u" * 201, "item_id": "a"}, "user_id is wrong | String should have at most 200 characters"),
    ],
)
def test_a_wrong_event_is_refused(client, body, told):
    assert told in refusal(client.post("/events", json=body), 422)


def test_an_address_or_method_that_is_not_there_is_refused_in_the_same_shape(client):
    assert "there is nothing at this address" in refusal(client.get("/nowhere"), 404)
    wrong = client.put("/events", json={})
    assert "the address does not take this method" in refusal(wrong, 405)
    assert wrong.headers["allow"] == "POST"


def test_health_says_which_model_answers(client):
    assert client.get("/health/live").json() == {"live": True}
    assert client.get("/health/ready").json() == {"ready": True, "model": "first", "items": 4, "store": "ok"}


def test_the_documentation_has_every_route_and_the_fields_of_bodies(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) >= {
        "/recommend",
        "/similar",
        "/events",
        "/users/{user_id}",
        "/v2/models/{name}/infer",
    }
    body = described["paths"]["/recommend"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["history"]["description"] == "Items, oldest first; the store is not asked then."
    version = described["paths"]["/v2/models/{name}/versions/{version}/infer"]["post"]["parameters"]
    assert [one["name"] for one in version] == ["name", "version"]
    assert "$ref" not in json.dumps(described["paths"]["/events"]["post"]["requestBody"])


def test_metrics_count_answers_events_and_fallbacks(client):
    client.post("/recommend", json={})
    client.post("/recommend", content=b"{")
    client.post("/events", json={"user_id": "u", "item_id": "a"})
    told = client.get("/metrics").text
    assert 'distilrec_requests_total{route="/recommend",status="200"} 1.0' in told
    assert 'distilrec_requests_total{route="/recommend",status="400"} 1.0' in told
    assert "distilrec_fallbacks_total 1.0" in told
    assert 'distilrec_events_total{outcome="stored"} 1.0' in told
    assert 'distilrec_request_seconds_count{route="/events"} 1.0' in told


def test_a_request_id_is_kept_where_it_is_plain_and_made_where_it_is_not(client):
    assert client.get("/health/live", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = client.get("/health/live", headers={"X-Request-Id": "a b"}).headers["x-request-id"]
    assert len(made) == 16


@pytest.mark.parametrize("path", ["/recommend", "/similar"])
def test_a_fault_of_ours_is_500_in_the_same_shape_and_is_logged(tmp_path, caplog, path):
    """One route is answered at the door, the other behind the framework."""

    class Faulty(FakeModel):
        def recommend(self, histories, **_):
            raise ZeroDivisionError("by nothing")

        similar = recommend

    with client_of(tmp_path, Faulty()) as client:
        body = {"history": ["a"]} if path == "/recommend" else {"item_ids": ["a"]}
        told = refusal(client.post(path, json=body), 500)
    assert "a fault of ours, which is in the log" in told
    assert "by nothing" in caplog.text
