import pytest
from postgres import postgres, postgres_server  # noqa: F401
from running import Running

from served_models import shared_exports  # noqa: F401


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """One server for all tests that leave it as it was."""
    limits = {"max_body_bytes": 20_000_000, "body_seconds": 1.0}
    with Running(tmp_path_factory.mktemp("shared"), watch=True, watch_seconds=0.05, **limits) as server:
        server.wait_for("ready")
        yield server
