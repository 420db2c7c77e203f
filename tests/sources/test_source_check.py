import pytest
from small_server import EVENTS, ITEMS, sha256

from distilrec.errors import SourceError
from distilrec.sources.check import files_wanted, verify


def test_a_folder_with_every_file_of_one_form_passes(tmp_path, tiny):
    (tmp_path / "tiny.inter").write_bytes(b"inter")
    (tmp_path / "anything else").write_bytes(b"")
    verify(tiny, tmp_path)


def test_a_wrong_digest_names_the_file_and_both_digests(tmp_path, tiny):
    (tmp_path / "events").write_bytes(EVENTS)
    (tmp_path / "items").write_bytes(b"changed")
    message = (
        f"{tmp_path}: items is not the file of Tiny that we know: "
        f"SHA-256 is {sha256(b'changed')}; expected {sha256(ITEMS)}"
    )
    with pytest.raises(SourceError) as caught:
        verify(tiny, tmp_path)
    assert str(caught.value) == message


def test_a_missing_file_is_named_with_what_is_expected(tmp_path, tiny):
    (tmp_path / "events").write_bytes(EVENTS)
    with pytest.raises(SourceError, match=r"the wheel lacks items; expected events \+ items, or tiny.inter"):
        verify(tiny, tmp_path, called="the wheel")


def test_a_folder_that_is_not_there_is_named(tmp_path, tiny):
    with pytest.raises(SourceError, match=r"nowhere does not exist; expected a folder with events \+ items"):
        verify(tiny, tmp_path / "nowhere")


def test_the_files_wanted_are_listed_by_form(tiny):
    assert files_wanted(tiny) == "events + items, or tiny.inter"
