"""What `distilrec serve` says before it serves; servers that run are in tests/serve."""

import socket

import pytest


@pytest.fixture
def exported(tmp_path, monkeypatch):
    for name in ("OMP", "OPENBLAS", "MKL"):
        monkeypatch.setenv(f"{name}_NUM_THREADS", "1")  # what the command sets is gone after the test
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    (tmp_path / "export.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_help_says_how_to_ask_and_names_every_option(command):
    told = command("serve", "--help").out
    for text in ("curl -s localhost:8000/recommend", "--store", "--workers", "--watch", "--api-key-file", "--set"):
        assert text in told


def test_a_folder_that_is_not_exported_is_refused_with_the_command_that_exports_it(command, tmp_path):
    called = command("serve", tmp_path)
    assert called.code == 2
    assert f"Run: distilrec export {tmp_path} --out {tmp_path}/exported" in called.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--port", "70000"), "port: Input should be less than or equal to 65535 (got 70000)"),
        (("--workers", "0"), "workers: Input should be greater than or equal to 1"),
        (("--set", "max_kk=3"), "unknown setting 'max_kk'; did you mean 'max_k'?"),
        (("--set", "rate_limit=often"), "rate_limit: Input should be a valid number"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(command, exported, options, told):
    called = command("serve", exported, *options)
    assert called.code == 2
    assert told in called.err


def test_a_port_that_is_taken_is_told(command, exported):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        called = command("serve", exported, "--port", port)
    assert called.code == 2
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use; stop what listens there" in called.err
