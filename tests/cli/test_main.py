"""What leaves the command line: a code, a message, and no traceback for what is the user's to mend."""

import subprocess
import sys

import pytest
import typer

from distilrec.cli import options
from distilrec.cli.app import app
from distilrec.errors import DataError, SettingsError


@pytest.fixture
def failing(monkeypatch):
    """Makes `distilrec doctor` end in an exception."""

    def fail_with(error):
        def fail(**kwargs):
            raise error

        monkeypatch.setattr("distilrec.doctor.examine", fail)

    return fail_with


def test_what_distilrec_refuses_is_one_message_and_exit_code_2(command, failing):
    failing(DataError("the log is odd"))
    called = command("doctor")
    assert (called.code, called.err) == (2, "error: the log is odd\n")


def test_an_interrupt_says_that_nothing_is_lost_and_exits_with_130(command, failing):
    failing(KeyboardInterrupt())
    called = command("doctor")
    assert called.code == 130
    assert called.err.strip() == "interrupted; what is finished is kept, and the same command goes on from there"


def test_what_the_system_refuses_is_named(command, failing):
    failing(PermissionError(13, "Permission denied", "/root/secret.csv"))
    called = command("doctor")
    assert (called.code, called.err) == (2, "error: /root/secret.csv: Permission denied\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), OSError("without a file")])
def test_a_fault_of_ours_is_not_hidden(monkeypatch, failing, error):
    from distilrec.cli import main

    failing(error)
    monkeypatch.setattr(sys, "argv", ["distilrec", "doctor"])
    monkeypatch.setattr("warnings.showwarning", print)
    with pytest.raises(type(error)):
        main()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recomend"], "No such command 'recomend'"),
        (["recommend"], "Missing argument 'model'"),
        (["recommend", "x", "--heads", "3"], "No such option: --heads"),
        (["recommend", "x", "-k", "many"], "Invalid value for '-k'"),
        (["data", "x"], "Missing option '--out'"),
    ],
)
def test_a_command_that_was_typed_wrong_is_explained(command, arguments, message):
    called = command(*arguments)
    assert called.code == 2
    assert message.lower() in " ".join(called.err.lower().split())


def test_a_command_may_end_with_a_code_of_its_own(command, monkeypatch):
    def leave(**kwargs):
        raise typer.Exit(1)

    monkeypatch.setattr("distilrec.doctor.examine", leave)
    assert command("doctor").code == 1


def test_python_m_distilrec_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "distilrec", "run", "nowhere.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: nowhere.yaml does not exist; expected a YAML recipe\n"
    assert done.stdout == ""


def test_every_command_has_a_line_of_help():
    for command in app.registered_commands:
        assert command.callback.__doc__, command.callback.__name__


def test_columns_are_read_as_pairs():
    assert options.columns_from(["user_id=who", "item_id=a=b"]) == {"user_id": "who", "item_id": "a=b"}
    assert options.columns_from(None) is None


@pytest.mark.parametrize("column", ["user_id", "=who", "user_id="])
def test_a_column_that_is_no_pair_is_refused(column):
    with pytest.raises(SettingsError, match=f"--column '{column}': expected canonical=own, such as user_id=who"):
        options.columns_from([column])


def test_numbers_are_read_in_their_order():
    assert options.numbers_from("10,5", "--cutoffs") == (10, 5)


@pytest.mark.parametrize("text", ["", "5,", "5;10", "five"])
def test_text_that_holds_no_numbers_is_refused(text):
    with pytest.raises(SettingsError, match=r"--cutoffs .*: expected whole numbers separated by commas, such as 5,10"):
        options.numbers_from(text, "--cutoffs")


def test_the_version_is_printed(command):
    from distilrec import __version__

    called = command("--version")
    assert (called.code, called.out) == (0, f"distilrec {__version__}\n")
