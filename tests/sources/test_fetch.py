import errno
import http.client
import ssl
import urllib.error

import pytest
from small_server import sha256

from distilrec.errors import SourceError, StorageError
from distilrec.sources import fetch
from distilrec.sources.fetch import download, explain

BODY = bytes(range(256)) * 40  # 10,240 bytes


@pytest.fixture
def url(server):
    server.files["/file"] = BODY
    return f"{server.url}/file"


def test_a_file_arrives_whole_and_nothing_lies_beside_it(url, tmp_path):
    assert download(url, tmp_path / "new" / "file", sha256=sha256(BODY), quiet=True).read_bytes() == BODY
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_a_file_that_is_there_already_is_not_asked_for_again(url, server, tmp_path):
    (tmp_path / "file").write_bytes(BODY)
    download(url, tmp_path / "file", sha256=sha256(BODY), quiet=True)
    assert server.asked == []


def test_a_broken_connection_is_taken_up_where_it_stopped(url, server, tmp_path):
    server.cut_after, server.cuts = 4000, 2
    download(url, tmp_path / "file", sha256=sha256(BODY), quiet=True)
    assert [wanted for _, wanted in server.asked] == [None, "bytes=4000-", "bytes=8000-"]


def test_an_interrupted_download_keeps_what_came_and_a_later_call_asks_for_the_rest(url, server, tmp_path):
    server.cut_after, server.cuts = 1000, 3
    with pytest.raises(SourceError, match=r"ended after 3,000 of 10,240 bytes \(3,000 bytes are kept"):
        download(url, tmp_path / "file", sha256=sha256(BODY), quiet=True)
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.partial").read_bytes() == BODY[:3000]
    server.asked.clear()
    assert download(url, tmp_path / "file", sha256=sha256(BODY), quiet=True).read_bytes() == BODY
    assert server.asked == [("/file", "bytes=3000-")]


def test_a_server_without_ranges_sends_it_all_again(url, server, tmp_path):
    server.knows_ranges = False
    (tmp_path / "file.partial").write_bytes(BODY[:3000])
    assert download(url, tmp_path / "file", sha256=sha256(BODY), quiet=True).read_bytes() == BODY


def test_a_partial_file_that_is_whole_is_only_checked(url, server, tmp_path):
    """The process may have died between the last byte and the renaming."""
    (tmp_path / "file.partial").write_bytes(BODY)
    assert download(url, tmp_path / "file", sha256=sha256(BODY), quiet=True).read_bytes() == BODY


def test_a_beginning_from_another_version_is_dropped_and_the_file_fetched_whole(url, server, tmp_path):
    (tmp_path / "file.partial").write_bytes(b"other" * 100)
    assert download(url, tmp_path / "file", sha256=sha256(BODY), quiet=True).read_bytes() == BODY
    assert [wanted for _, wanted in server.asked] == ["bytes=500-", None]


def test_a_wrong_checksum_is_refused_with_both_digests_and_nothing_is_kept(url, tmp_path):
    with pytest.raises(SourceError, match=f"SHA-256 is {sha256(BODY)}; expected {'0' * 64}. The download was"):
        download(url, tmp_path / "file", sha256="0" * 64, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_other_than_the_file_names_its_code(server, tmp_path):
    with pytest.raises(SourceError, match=r"/missing: the server answered 404 Not Found"):
        download(f"{server.url}/missing", tmp_path / "file", sha256="", quiet=True)


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9/file: .*refused"):
        download("http://127.0.0.1:9/file", tmp_path / "file", sha256="", quiet=True)


def test_a_full_disk_is_said_to_be_full(url, tmp_path, monkeypatch):
    def no_space(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "_append", no_space)
    with pytest.raises(StorageError, match=r"no space left on the disk while writing .*file"):
        download(url, tmp_path / "file", sha256=sha256(BODY), quiet=True)


def test_a_partial_answer_must_say_where_it_begins():
    with pytest.raises(http.client.HTTPException, match="a partial answer without its range: None"):
        fetch._first_byte(None)
    assert fetch._first_byte("bytes 7-9/10") == 7


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (urllib.error.URLError(TimeoutError()), "no answer in time"),
        (TimeoutError("timed out"), "no answer in time"),
        (urllib.error.URLError(ssl.SSLError("bad certificate")), "bad certificate"),
        (http.client.IncompleteRead(b""), "IncompleteRead(0 bytes read)"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_what_went_wrong_is_said_in_one_line(error, words):
    assert words in explain(error)
