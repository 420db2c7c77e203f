import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "peers.md"


def test_the_example_of_the_page_about_peers_runs_and_says_what_it_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    said = float(capsys.readouterr().out)
    assert f"# {said:.3f}: right at once" in example
