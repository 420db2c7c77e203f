import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_the_examples_of_the_page_about_evaluation_run_and_say_what_it_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = {}
    exec(compile("\n".join(examples), str(PAGE), "exec"), names)
    assert "item-kNN is better than popularity by" in capsys.readouterr().out
    assert f"# {names['knn'].mean('ndcg@10'):.2f}: newer" in examples[0]
    assert names["again"].protocol == names["knn"].protocol
