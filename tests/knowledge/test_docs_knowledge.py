"""The page about knowledge says what is true."""

import re
from pathlib import Path

import numpy as np

from distilrec.knowledge import ListPart

PAGE = Path(__file__).parents[2] / "docs" / "knowledge.md"


def test_the_example_of_the_page_about_knowledge_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    assert "positions with a list: 3 of 3 (100.0%)" in capsys.readouterr().out


def bytes_a_position(k, n_items):
    return sum(int(np.prod(c.shape)) * np.dtype(c.dtype).itemsize for c in ListPart().columns(k, n_items))


def test_lists_take_the_bytes_that_the_page_says():
    assert "4 K + 4 (K = 300: 1,204)" in PAGE.read_text(encoding="utf-8")
    assert "6 K + 4 beyond 32,767 items" in PAGE.read_text(encoding="utf-8")
    assert bytes_a_position(300, 32_767) == 1_204
    assert bytes_a_position(300, 32_768) == 1_804
