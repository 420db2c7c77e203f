"""Turns between processes: a peer makes steps when it is asked to, and an epoch is made of its median step."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers"))
from training_speed import Runner, print_table

THEIRS = Path(__file__).parents[2] / "benchmarks" / "peers" / "theirs"
LOOP = """
from steps import Steps
steps = Steps(steps_a_turn=3, steps_an_epoch=100)
while steps.before():
    steps.after()
"""


@pytest.fixture
def start():
    """Starts a program as a peer."""
    processes = []

    def run(program):
        command = [sys.executable, "-c", program]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=THEIRS, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        processes.append(process)
        return Runner("a peer", process)

    yield run
    for process in processes:
        with process:
            process.kill()


def test_a_peer_makes_its_steps_when_asked_and_ends_when_nobody_asks(start):
    runner = start(LOOP)
    runner.wait()
    for _ in range(3):
        runner.turn()
    assert len(runner.seconds_a_step) == 3
    assert runner.steps_an_epoch == 100
    runner.end()
    assert runner.process.returncode == 0


def test_a_peer_that_fails_is_told(start):
    with pytest.raises(SystemExit, match="a peer ended with 4, too early; run its script by hand"):
        start("raise SystemExit(4)").wait()


def test_an_epoch_is_the_median_step_after_the_first_turn(start, capsys):
    runner = start("")
    runner.steps_an_epoch, runner.seconds_a_step = 100, [9.0, 0.5, 0.2, 0.3]
    print_table([3.0, 1.0, 2.0], [runner])
    said = capsys.readouterr().out
    assert "ours: 2.0 s an epoch, the median of 3 whole ones" in said
    assert "a peer: 30 s an epoch, extrapolated to its 100 steps; ratio 15.0" in said
