"""Text is escaped unless it is markup already, so no title can become part of the page."""

from distilrec.report.html import Markup, details, element, empty, joined, table, terms


def test_text_is_escaped_and_markup_is_kept():
    assert element("p", "a < b & c", element("b", "d")) == "<p>a &lt; b &amp; c<b>d</b></p>"
    assert joined(["<", Markup("<br>")]) == "&lt;<br>"


def test_attributes_are_escaped_renamed_and_left_out_when_none():
    assert element("a", href='"x"', class_="y", stroke_width=1.5, title=None) == (
        '<a href="&quot;x&quot;" class="y" stroke-width="1.5"></a>'
    )


def test_an_element_may_have_an_attribute_called_name_and_a_void_one_is_not_closed():
    assert element("meta", name="viewport") == '<meta name="viewport">'


def test_joining_two_pieces_of_markup_by_plus_gives_text_that_is_escaped_again():
    """A str it is then, and safe: pieces are put together by `joined`."""
    assert element("p", Markup("<b>") + Markup("</b>")) == "<p>&lt;b&gt;&lt;/b&gt;</p>"


def test_a_table_names_its_rows_and_columns_and_scrolls_in_a_frame_of_its_own(outline):
    found = outline(table(["model", "size"], [["a", "1"], ["b", "2"]], caption="Sizes", row_classes=[None, "ours"]))
    assert found.problems == []
    assert found.named("div") == [{"class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Sizes"}]
    assert [cell["scope"] for cell in found.named("th")] == ["col", "col", "row", "row"]
    assert [row.get("class") for row in found.named("tr")] == [None, None, "ours"]
    assert "Sizes" in found.words


def test_details_terms_and_empty_states(outline):
    found = outline(joined([details("more", "x"), terms([("name", "value")]), empty("nothing")]))
    assert found.problems == []
    assert found.words == "morexnamevaluenothing"
    assert [tag for tag, _ in found.tags] == ["details", "summary", "dl", "div", "dt", "dd", "p"]
