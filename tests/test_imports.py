"""What can be imported without the training libraries stays quick to import, and never loads them."""

import importlib.util
import json
import subprocess
import sys

import pytest

LIGHT = [
    "distilrec",
    "distilrec.artifact",
    "distilrec.data.read",
    "distilrec.evaluate.evaluation",
    "distilrec.knowledge",
    "distilrec.sources",
    "distilrec.serve.runtime",
    "distilrec.serve.start",
    "distilrec.cli",
]
HEAVY = {"torch", "transformers", "accelerate", "ray", "scipy"}
_PROBE = """
import json, sys, time
began = time.perf_counter()
import {module}
print(json.dumps([time.perf_counter() - began, sorted(set(sys.modules) & set({heavy}))]))
"""


def import_alone(module: str) -> tuple[float, list[str]]:
    """Seconds that an import takes in a fresh interpreter, and the heavy libraries it loaded."""
    code = _PROBE.format(module=module, heavy=sorted(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, loaded = json.loads(done.stdout)
    return seconds, loaded


@pytest.mark.parametrize("module", [name for name in LIGHT if importlib.util.find_spec(name)])
def test_a_light_module_loads_no_heavy_library(module):
    assert import_alone(module)[1] == []


def test_the_probe_sees_a_heavy_library():
    assert "scipy" in import_alone("scipy")[1]


def test_the_package_is_imported_in_under_three_tenths_of_a_second():
    """The best of three, since the machine may be busy."""
    assert min(import_alone("distilrec")[0] for _ in range(3)) < 0.3
