"""What is loaded before workers are forked, and what is not."""

import os
import subprocess
import sys

import pytest

THREADS = """
import sys, distilrec.serve.worker
told = open("/proc/self/status").read()
print(told.partition("Threads:")[2].split()[0], sorted({"polars", "onnxruntime", "torch"} & set(sys.modules)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted by /proc")
def test_no_thread_runs_in_what_is_forked():
    """A lock that another thread holds at that moment would be held in every worker for good."""
    one = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True, env=one)
    assert done.stdout.split(maxsplit=1) == ["1", "[]\n"]
