from dataclasses import replace

import pytest

from distilrec.errors import SourceError
from distilrec.sources import probe
from distilrec.sources.known import HubModel
from distilrec.sources.probe import official_url, reachable


@pytest.fixture
def index(monkeypatch):
    """What the package index says, without asking one."""
    said = {"text": "no-such-tiny-package (1.0)\nAvailable versions: 1.0, 0.9"}
    monkeypatch.setattr(probe, "run_pip", lambda arguments, timeout: said["text"])
    return said


def test_a_source_that_answers_is_reached_and_nothing_is_downloaded(tiny, server, index):
    official, package = reachable((tiny,))
    assert (official.source, official.ok) == (f"Tiny at {server.url}/tiny.zip", True)
    assert (package.source, package.ok) == ("Tiny as the package no-such-tiny-package==1.0", True)


def test_a_server_that_answers_with_an_error_is_not_reached(tiny, server, index):
    server.files.clear()
    official, _ = reachable((tiny,))
    assert (official.ok, official.detail) == (False, "the server answered 404 Not Found")


def test_a_server_that_is_not_there_is_not_reached(tiny, index):
    gone = replace(tiny, official=replace(tiny.official, url="http://127.0.0.1:9/tiny.zip"))
    official, _ = reachable((gone,))
    assert not official.ok
    assert "refused" in official.detail


def test_an_index_without_the_version_is_not_enough(tiny, index):
    index["text"] = "no-such-tiny-package (0.9)\nAvailable versions: 0.9, 11.0"
    _, package = reachable((tiny,))
    assert (package.ok, package.detail) == (False, "the package index does not have version 1.0")


def test_an_index_that_cannot_be_asked_gives_the_reason(tiny, monkeypatch):
    def fail(arguments, timeout):
        raise SourceError("pip is not installed")

    monkeypatch.setattr(probe, "run_pip", fail)
    _, package = reachable((tiny,))
    assert (package.ok, package.detail) == (False, "pip is not installed")


def test_offline_nobody_is_asked(tiny, server, monkeypatch):
    monkeypatch.setenv("DISTILREC_OFFLINE", "1")
    assert {answer.detail for answer in reachable((tiny,))} == {"not asked, because DISTILREC_OFFLINE is set"}
    assert server.asked == []


def test_a_model_on_the_hub_is_asked_for_by_its_smallest_file():
    assert official_url(HubModel("org/tiny", "abc")) == "https://huggingface.co/org/tiny/resolve/abc/config.json"
