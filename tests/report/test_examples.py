"""The reports in docs/examples are whole pages that fetch nothing and name no folder of the machine they came from."""

import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.mark.parametrize("name", ["demo", "beauty"])
def test_an_example_is_whole_and_works_from_disk(outline, name):
    text = (EXAMPLES / f"{name}.html").read_text(encoding="utf-8")
    found = outline(text)
    assert found.problems == []
    assert found.named("section")[0]["id"] == "results"
    assert not re.search(r"https?://|url\(|@import|<script", text)
    assert not re.search(r"/(work|tmp|root|home)/", text + (EXAMPLES / f"{name}.md").read_text(encoding="utf-8"))
    assert "Every request" in found.words
