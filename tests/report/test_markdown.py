"""The Markdown says what the HTML says in words and tables, and no text from data breaks it."""

import dataclasses
import re

from made_reports import EVIL

from distilrec.report.markdown import markdown_page, plain


def test_every_part_is_there_in_order(facts):
    text = markdown_page([facts], command="distilrec report runs/small")
    assert re.findall(r"^## (.*)$", text, flags=re.M) == [
        *("Results", "For whom", "What is recommended", "Samples", "Training", "Costs"),
        "Data, settings, machine",
    ]
    assert "| distilled | 0.7500 [" in text
    assert "4,000 | 0.50 | 1.00 | 2.00 |" in text
    assert "| teacher | - | 2 | 2 | 0.2000 | 2 |" in text
    assert "| teacher | not finished |" in text
    assert text.endswith("Made by `distilrec report runs/small`.\n")


def test_tables_have_as_many_cells_in_each_row(facts):
    lines = [line for line in markdown_page([facts], command="c").splitlines() if line.startswith("| ")]
    tables = "\n".join(lines).split("| ---")
    assert len(tables) > 5
    bare = [re.sub(r"\\.", "", line) for line in lines]
    for before, rule, after in zip(bare, bare[1:], bare[2:], strict=False):
        if rule.startswith("| ---"):
            assert before.count("|") == rule.count("|") == after.count("|")


def test_what_data_holds_is_read_as_text(facts):
    assert plain("<b>*a*|b`\n") == r"\<b\>\*a\*\|b\` "
    assert plain("[a](b) [0.5, 0.6]") == "[a]\\(b) [0.5, 0.6]"
    outside = markdown_page([facts], command="c").partition("````yaml")[0]
    assert "<script" not in outside.replace("\\<", "")
    assert plain(EVIL) in outside


def test_several_runs_are_compared_first(facts):
    text = markdown_page([facts, dataclasses.replace(facts, place="runs/other")], command="c")
    assert text.index("## Runs side by side") < text.index("No difference:") < text.index("### Results")


def test_a_run_without_anything_is_still_a_page(facts):
    bare = dataclasses.replace(
        facts, models=[], verdicts=[], protocol=None, slices=[], shown=[], samples=[], stages=[], recipe=""
    )
    text = markdown_page([bare], command="c")
    assert "No model of this run has been judged yet." in text
    assert "No model has been judged yet." in text
