"""The page about teachers: its Python runs, its commands parse, its kinds are all there are."""

import re
import shutil
from pathlib import Path
from typing import get_args

from distilrec.run.teacher_stages import TeacherStage
from distilrec.run.teaching import settings_from

PAGE = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished.folder / "data", tmp_path / "work/data")
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(example, "teachers.md", "exec"), {})
    assert re.match(
        r"best validation 0\.\d{5} \{'top_probability': 0\.\d+, 'entropy': 0\.\d+\}", capsys.readouterr().out
    )


def test_the_table_names_every_kind():
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE))
    kinds = {
        get_args(get_args(kind)[0].model_fields["kind"].annotation)[0] for kind in get_args(get_args(TeacherStage)[0])
    }
    assert named - {"kind"} == kinds  # the heading is no kind


def test_the_settings_that_the_page_gives_are_understood():
    commands = [block for block in re.findall(r"```\n(.*?)```", PAGE, flags=re.DOTALL) if "distilrec teach" in block]
    teach = [
        line for block in commands for line in block.replace("\\\n", " ").splitlines() if "distilrec teach" in line
    ]
    assert len(teach) == 3
    for line in teach:
        given = re.findall(r"--set (?:'([^']*)'|(\S+))", line)
        assert settings_from([quoted or plain for quoted, plain in given]).teacher.kind in line or "kind" not in line
