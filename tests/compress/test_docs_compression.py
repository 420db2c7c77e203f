"""The page about compression names every method, and no other."""

import re
from pathlib import Path

from distilrec.compress.methods import method_kinds

PAGE = Path(__file__).parents[2] / "docs" / "compression.md"


def test_the_table_of_methods_has_every_kind():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(method_kinds())
