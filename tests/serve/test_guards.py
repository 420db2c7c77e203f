"""Keys, rates, sizes, times, and how many at once."""

import asyncio

import pytest
from fakes import client_of

from distilrec.errors import SettingsError
from distilrec.serve.door import Door
from distilrec.serve.guards import Keys, Rate
from distilrec.serve.metrics import Metrics
from distilrec.serve.refusals import RefusedError
from distilrec.serve.settings import ServeSettings

KEY, OTHER = "k" * 32, "o" * 32


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# for the shop\n{KEY}\n\n{OTHER}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {OTHER}"}])
def test_a_key_of_the_file_opens_every_route(tmp_path, key_file, headers):
    with client_of(tmp_path, api_key_file=key_file) as client:
        assert client.post("/recommend", json={}, headers=headers).status_code == 200
        assert client.get("/docs", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": f"Basic {KEY}"}, {"X-API-Key": ""}])
def test_without_a_key_nothing_but_health_and_metrics_is_answered(tmp_path, key_file, headers):
    with client_of(tmp_path, api_key_file=key_file) as client:
        for method, path in (("POST", "/recommend"), ("GET", "/users/u"), ("GET", "/docs"), ("GET", "/openapi.json")):
            refused = client.request(method, path, headers=headers)
            assert refused.status_code == 401
            assert "X-API-Key" in refused.json()["error"]["expected"]
        for path in ("/health/live", "/health/ready", "/v2/health/ready", "/metrics"):
            assert client.get(path, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("text", "told"),
    [("# none\n", "holds no key; expected one a line"), ("short\n", "1 of its keys have fewer than 16 characters")],
)
def test_a_key_file_that_would_protect_nothing_is_refused(tmp_path, text, told):
    (tmp_path / "keys").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=told):
        Keys.read(tmp_path / "keys")


def test_a_key_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        Keys.read(tmp_path / "keys")


def test_a_rate_of_two_a_second_lets_two_through_at_once_and_one_more_half_a_second_later():
    clock = [0.0]
    rate = Rate(2.0, now=lambda: clock[0])
    rate.check(b"me")
    rate.check(b"me")
    with pytest.raises(RefusedError) as refused:
        rate.check(b"me")
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    rate.check(b"somebody else")
    clock[0] = 0.5
    rate.check(b"me")


def test_a_clock_that_stands_still_or_turns_back_lets_no_more_through():
    clock = [100.0]
    rate = Rate(1.0, now=lambda: clock[0])
    rate.check(b"me")
    clock[0] = 0.0
    with pytest.raises(RefusedError):
        rate.check(b"me")


def test_too_many_requests_are_told_when_to_come_back(tmp_path):
    with client_of(tmp_path, rate_limit=1.0) as client:
        assert client.post("/recommend", json={}).status_code == 200
        refused = client.post("/recommend", json={})
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"


def test_a_body_above_the_limit_is_refused_and_the_connection_closed(tmp_path):
    with client_of(tmp_path, max_body_bytes=100) as client:
        refused = client.post("/recommend", content=b" " * 101)
        assert refused.status_code == 413
        assert refused.json()["error"]["expected"] == "at most 100 bytes"
        assert refused.headers["connection"] == "close"
        in_pieces = client.post("/recommend", content=(b" " * 60 for _ in range(2)))
        assert in_pieces.status_code == 413


def test_browsers_of_other_pages_may_not_ask_unless_they_are_named(tmp_path):
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    with client_of(tmp_path) as client:
        assert "access-control-allow-origin" not in client.options("/recommend", headers=asked).headers
    with client_of(tmp_path, cors_origins=("https://shop.example",)) as client:
        answer = client.options("/recommend", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"


def scope(path="/recommend"):
    return {"type": "http", "method": "POST", "path": path, "headers": [], "client": ("1.2.3.4", 5)}


async def _whole():
    return {"type": "http.request", "body": b"{}", "more_body": False}


def ask(door, receive=_whole):
    """The status and headers of an answer."""
    sent = []

    async def send(message):
        sent.append(message)

    async def run():
        await door(scope(), receive, send)
        return sent

    return run()


def door_before(direct, **settings):
    return Door(None, {"/recommend": direct}, ServeSettings(**settings), Metrics(), None)


def test_more_requests_than_can_be_held_are_refused_and_the_others_answered():
    async def scene():
        may_go = asyncio.Event()

        async def slow(_):
            await may_go.wait()
            return b"{}"

        door = door_before(slow, max_waiting=2)
        held = [asyncio.create_task(ask(door)) for _ in range(2)]
        await asyncio.sleep(0)
        refused = (await ask(door))[0]
        may_go.set()
        return refused, [(await one)[0]["status"] for one in held], (await ask(door))[0]["status"]

    refused, held, afterwards = asyncio.run(scene())
    assert (refused["status"], dict(refused["headers"])[b"retry-after"]) == (503, b"1")
    assert (held, afterwards) == ([200, 200], 200)


def test_a_request_that_takes_too_long_is_given_up_with_503():
    async def never(_):
        await asyncio.Event().wait()

    start, body = asyncio.run(ask(door_before(never, timeout_seconds=0.01)))
    assert start["status"] == 503
    assert b"the request was not answered in time" in body["body"]


def test_a_body_that_does_not_come_is_408():
    async def stalls():
        if not told:
            told.append(1)
            return {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.Event().wait()
        return None

    async def never(_):
        raise AssertionError

    told = []
    start, body = asyncio.run(ask(door_before(never, body_seconds=0.01), stalls))
    assert start["status"] == 408
    assert b"the body did not come" in body["body"]


def test_who_hangs_up_gets_no_answer_and_leaves_nothing_behind():
    async def gone():
        return {"type": "http.disconnect"}

    async def never(_):
        raise AssertionError

    door = door_before(never)
    assert asyncio.run(ask(door, gone)) == []
    assert door._held == 0
