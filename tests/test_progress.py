"""Progress on standard error: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

import io
import sys

import pytest

from distilrec import progress as module
from distilrec.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: `clock.now += 10`."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_line_says_how_far_how_long_and_how_long_still(clock, capsys):
    """5 of 20 steps in 10 s: the other 15 take 30 s."""
    with progress("training", total=20) as advance:
        clock.now += 10
        advance(5, note="loss 1.5")
        assert capsys.readouterr().err == "training: 5/20, 10 s, about 30 s left, loss 1.5\n"


def test_lines_come_ten_seconds_apart(clock, capsys):
    with progress("reading", total=100) as advance:
        for _ in range(25):
            clock.now += 1
            advance()
        assert capsys.readouterr().err.count("\n") == 2


def test_steps_done_before_a_resumed_job_do_not_make_it_look_fast(clock, capsys):
    """1 step in 10 s, 9 to go: 90 s, though 91 of 100 are done."""
    with progress("training", total=100, start=90) as advance:
        clock.now += 10
        advance()
    assert "training: 91/100, 10 s, about 90 s left\n" in capsys.readouterr().err


def test_a_long_job_says_when_it_is_done(clock, capsys):
    with progress("reading", total=2) as advance:
        advance(2)
        clock.now += 10
    assert capsys.readouterr().err == "reading: 2/2, 10 s, about 0 s left, done\n"


def test_a_short_job_says_nothing(clock, capsys):
    with progress("reading", total=2) as advance:
        advance(2)
    assert capsys.readouterr() == ("", "")


def test_a_job_that_fails_does_not_say_done(clock, capsys):
    def fail() -> None:
        with progress("reading", total=2) as advance:
            clock.now += 60
            advance(1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert "done" not in capsys.readouterr().err


def test_quiet_is_quiet(clock, capsys):
    with progress("reading", total=2, quiet=True) as advance:
        clock.now += 60
        advance(1, note="halfway")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_with_the_note(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("training", total=4, start=1) as advance:
        advance(2, note="loss 1.5")
        advance(1)
    shown = sys.stderr.getvalue()
    assert "training" in shown
    assert "4/4" in shown
    assert "loss 1.5" in shown


def test_the_first_line_may_come_sooner(clock, capsys):
    """3 of 30 steps in 3 s: the other 27 take 27 s."""
    with progress("ranking", total=30, first_after=2.0) as advance:
        for _ in range(3):
            clock.now += 1
            advance()
        assert capsys.readouterr().err == "ranking: 2/30, 2 s, about 28 s left\n"
