"""A small web server on this machine, and a small made-up source to find."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from small_server import EVENTS, ITEMS, Server, sha256, zip_of

from distilrec.sources.known import Archive, Form, Package, Source


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.answer(self)

        do_HEAD = do_GET  # noqa: N815  (the name that http.server looks for)

        def log_message(self, *args):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{web.server_port}")
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    web.shutdown()
    thread.join()
    web.server_close()


@pytest.fixture
def tiny(tmp_path, server):
    """A source of two files whose official archive the server has."""
    content = zip_of(tmp_path / "made.zip", {"tiny/events": EVENTS, "tiny/items": ITEMS, "tiny/other": b"x"})
    server.files["/tiny.zip"] = content
    return Source(
        what="Tiny",
        folder="tiny-set",
        forms=(
            Form(required={"events": sha256(EVENTS), "items": sha256(ITEMS)}),
            Form(required={"tiny.inter": sha256(b"inter")}),
        ),
        official=Archive(f"{server.url}/tiny.zip", sha256(content), "tiny"),
        package=Package("no-such-tiny-package", "1.0", module="no_such_tiny_package", inside="data"),
        page="https://example.org/tiny",
    )


@pytest.fixture(autouse=True)
def own_environment(monkeypatch, tmp_path):
    """No test may see this machine's caches or offline switches, or reach a package index."""
    for name in ("DISTILREC_OFFLINE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("DISTILREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
