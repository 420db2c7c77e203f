"""Prompts are files: a place for the history, a text for when there is none, and nothing that is not known."""

from pathlib import Path

import pytest

from distilrec.errors import SettingsError
from distilrec.teach.prompts import known_prompts, load_prompt, read_prompt


def test_titles_go_in_with_the_separator_between_them():
    prompt = read_prompt("I saw {history:, }. Next:", "mine")
    assert prompt.text(["Alien", "Heat", "Big"]) == "I saw Alien, Heat, Big. Next:"
    assert prompt.text(["Alien"]) == "I saw Alien. Next:"


def test_without_a_separator_each_title_has_a_line_and_a_separator_may_begin_one():
    assert read_prompt("{history}", "mine").text(["a", "b"]) == "a\nb"
    assert read_prompt(r"- {history:\n- }", "mine").text(["a", "b"]) == "- a\n- b"


def test_the_newest_title_can_be_named_again():
    assert read_prompt("{history:, }. After {newest}:", "mine").text(["a", "b"]) == "a, b. After b:"


def test_without_a_history_the_text_after_the_dashes_is_said():
    assert read_prompt("I saw {history}. Next:\n---\nA film:\n", "mine").text([]) == "A film:"


def test_a_file_without_dashes_leaves_the_history_empty():
    assert read_prompt("I saw: {history}", "mine").text([]) == "I saw:"


def test_spaces_at_the_ends_do_not_count_and_dashes_within_a_line_are_text():
    assert read_prompt("\n a --- {history} \n\n", "mine").text(["b"]) == "a --- b"


def test_braces_written_twice_are_braces_and_titles_are_never_read_as_prompts():
    assert read_prompt("{{x}} {history}", "mine").text(["{history} {newest}"]) == "{x} {history} {newest}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I saw {films}", r"prompt mine has {films}; known fields: {history}, {newest}"),
        ("{history} {history.__class__}", r"has {history.__class__}; known fields"),
        ("{history} {}", r"has {}; known fields"),
        ("Next:", r"prompt mine has no {history}; that is where"),
        ("{history", "prompt mine: expected '}' before end of string. Braces that are no field are written twice"),
        ("{history!r}", "only {history} takes anything more, a separator: {history:, }"),
        ("{history} {newest:x}", "only {history} takes anything more"),
        ("{history}\n---\n{newest}", "has a field after the dashes, where there is no history"),
        ("{history}\n---\na\n---\nb", "has 2 lines of three dashes; expected at most one"),
    ],
)
def test_what_is_no_prompt_is_refused(text, message):
    with pytest.raises(SettingsError) as refused:
        read_prompt(text, "mine")
    assert message in str(refused.value)


def test_ones_own_file_is_read_by_its_path(tmp_path):
    (tmp_path / "mine.txt").write_text("Gesehen: {history:; }. Nächster:", encoding="utf-8")
    assert load_prompt(tmp_path / "mine.txt").text(["Metropolis"]) == "Gesehen: Metropolis. Nächster:"


def test_a_name_that_is_neither_known_nor_a_file_is_told_the_known_ones(tmp_path):
    for name in ("no-such", tmp_path):
        with pytest.raises(SettingsError, match="is neither a file nor one of movies, next_item, products, which come"):
            load_prompt(name)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_bytes(b"\xff\xfe{history}")
    with pytest.raises(SettingsError, match=r"mine\.txt is no UTF-8 text"):
        load_prompt(tmp_path / "mine.txt")


@pytest.mark.parametrize("name", known_prompts())
def test_every_prompt_that_comes_with_the_package_has_a_text_with_and_without_a_history(name):
    prompt = load_prompt(name)
    assert "Alien" in prompt.text(["Alien", "Heat"])
    assert prompt.text([]) not in ("", prompt.text(["Alien"]))
    assert "{" not in prompt.text(["Alien"]) + prompt.text([])


def test_prompts_are_shipped_with_the_package():
    settings = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert '"teach/prompts/*.txt"' in settings
