"""The commands of docs/serving.md run as they are written there."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
COMMANDS = re.findall(r"^curl .*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_every_curl_command_of_the_page_is_answered(shared_server):
    answers = {}
    for command in COMMANDS:
        words = shlex.split(command.replace("localhost:8000", f"127.0.0.1:{shared_server.port}"))
        done = subprocess.run([*words, "--fail-with-body"], capture_output=True, text=True, check=True, timeout=20)
        answers[command] = done.stdout
    assert len(answers) >= 13
    found = {command.partition("localhost:8000")[2]: answer for command, answer in answers.items()}
    assert json.loads(found['/recommend -d \'{"user_id": "ada", "k": 3}\''])["fallback"] is None
    assert "has no events yet" in found['/recommend -d \'{"user_id": "eve", "k": 3}\'']
    assert json.loads(answers["curl -s -X DELETE localhost:8000/users/ada"])["left"] == 0
