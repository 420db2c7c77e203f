"""The titles of samples are told as far as a table has room, in any language."""

import dataclasses

import polars as pl
import pytest

from distilrec.report.gather import gather
from distilrec.report.samples import samples_of


@pytest.fixture(scope="module")
def models(finished):
    return gather(finished.folder).models


@pytest.fixture
def told(finished, models):
    """How a title is told that all items of the small world have."""

    def told_as(title):
        interactions = finished.prepared.interactions
        items = interactions.items.with_columns(title=pl.lit(title, dtype=pl.String))
        log = dataclasses.replace(interactions, items=items), finished.prepared.split
        (found,) = {item.title for item in samples_of(log, models)[0].lists["teacher"][:1]}
        return found

    return told_as


def test_a_title_of_eighty_letters_is_told_whole(told):
    assert told("a" * 80) == "a" * 80


@pytest.mark.parametrize("word", ["日本語", "https://example.org/"])
def test_a_long_title_without_spaces_is_cut_and_not_lost(told, word):
    assert told(word * 40) == (word * 40)[:76] + " ..."


def test_a_long_title_of_words_is_cut_where_one_ends(told):
    assert told("four " * 40) == "four " * 15 + "..."


def test_lines_and_tabs_of_a_title_are_spaces(told):
    assert told(" a\n\tb ") == "a b"


@pytest.mark.parametrize("title", ["   ", "", None])
def test_an_item_without_a_title_is_told_by_its_id(told, title):
    assert told(title).startswith("item ")
    assert told(title) != "item "
