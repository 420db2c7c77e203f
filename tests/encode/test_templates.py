import polars as pl
import pytest

from distilrec.encode.templates import default_template, fill
from distilrec.errors import DataError

ITEMS = pl.DataFrame(
    {
        "title": ["Toy Story", "Heat", None],
        "genres": ["Animation, Comedy", None, "Drama"],
        "year": [1995.0, None, float("nan")],
    }
)


def filled(template, **values):
    return fill(pl.DataFrame({name: [value, "x"] for name, value in values.items()}), template)[0]


def test_a_template_joins_the_columns_it_names():
    assert fill(ITEMS, "{title}. {genres}") == ["Toy Story. Animation, Comedy", "Heat", "Drama"]


def test_a_number_reads_as_a_person_would_write_it():
    assert fill(ITEMS.head(2), "{title} ({year})") == ["Toy Story (1995)", "Heat"]
    assert fill(pl.DataFrame({"price": [1.5]}), "costs {price}") == ["costs 1.5"]


def test_a_list_is_joined_and_line_breaks_become_spaces():
    items = pl.DataFrame({"tags": [["a", None, "b"]], "plot": [" one\n two\t three "]})
    assert fill(items, "{tags}: {plot}") == ["a, b: one two three"]


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("{a}. {b}. {c}", {"a": "A", "b": None, "c": "C"}, "A. C"),
        ("{a}. {b}. {c}", {"a": "A", "b": " ", "c": None}, "A"),
        ("{a} ({b})", {"a": None, "b": "B"}, "(B)"),
        ("{a} [{b}], {c}", {"a": "A", "b": None, "c": "C"}, "A, C"),
        ("{a}. {b}.", {"a": "A", "b": None}, "A."),
        ("{a} - {b}", {"a": None, "b": "B"}, "B"),
        ("{a} | {b}", {"a": "What?!", "b": None}, "What?!"),
        ("{a}. {b}", {"a": "Mr. {b}...", "b": "B"}, "Mr. {b}.... B"),
        ("Title: {a}", {"a": "A"}, "Title: A"),
    ],
)
def test_what_belongs_to_a_missing_value_goes_with_it_and_values_stay_as_they_are(template, values, expected):
    assert filled(template, **values) == expected


def test_items_without_any_text_are_counted():
    items = pl.DataFrame({"title": ["A", None, " "]})
    with pytest.warns(UserWarning, match="2 of 3 items have no text; their vectors are zero"):
        assert fill(items, "Title: {title}") == ["Title: A", "", ""]


def test_a_catalogue_where_every_text_is_empty_is_refused():
    items = pl.DataFrame({"title": [None, ""]}, schema={"title": pl.String})
    with pytest.raises(DataError, match=r"gives an empty text for all 2 items: every value is missing"):
        fill(items, "{title}")


def test_an_unknown_column_is_refused_with_those_there_are():
    with pytest.raises(DataError, match=r"names 'name', 'plot'; the catalogue has title, genres, year"):
        fill(ITEMS, "{name} {title} {plot}")


@pytest.mark.parametrize("template", ["title", "{title", "{title}}", ""])
def test_a_template_without_sound_braces_is_refused(template):
    with pytest.raises(DataError, match="expected column names in braces"):
        fill(ITEMS, template)


def test_a_field_is_only_ever_a_name():
    """No attribute, index or format: a template from a stranger cannot reach into Python."""
    with pytest.raises(DataError, match=r"names 'title\.__class__'"):
        fill(ITEMS, "{title.__class__}")


def test_the_default_template_is_the_title_then_what_kind_of_thing_it_is():
    assert default_template(ITEMS) == "{title}. {genres}"
    frappe = pl.DataFrame({"item_id": ["1"], "description": ["d"], "Category": ["c"], "name": ["n"]})
    assert default_template(frappe) == "{name}. {Category}. {description}"
    recbole = pl.DataFrame({"item_id": ["1"], "class": ["c"], "movie_title": ["t"], "release_year": ["1995"]})
    assert default_template(recbole) == "{movie_title}. {class}"


def test_the_default_template_passes_over_columns_that_are_empty_or_not_text():
    items = pl.DataFrame({"title": [1, 2], "genres": [None, None], "tags": [["a"], None]})
    assert default_template(items) == "{tags}"


def test_a_catalogue_without_text_columns_is_refused_with_those_there_are():
    items = pl.DataFrame({"item_id": ["1"], "price": [2.0]})
    with pytest.raises(DataError, match=r"no column that looks like text .* it has item_id, price. Name one"):
        default_template(items)
