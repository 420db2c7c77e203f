"""The `distilrec` command. Each command is a few lines around a function that Python calls the same way."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO

from distilrec.cli import (  # noqa: F401  (they add their commands to `app`)
    compress,
    export,
    judge,
    knowledge,
    look,
    report,
    serve,
    size,
    stages,
    students,
    whole,
)
from distilrec.cli.app import app
from distilrec.errors import DistilRecError

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; what DistilRec refuses is one message and exit code 2."""
    warnings.showwarning = _show_warning
    try:
        code = app(standalone_mode=False)
    except DistilRecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a file or folder that the system refuses; without a name it is our own fault
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        _stop()
    except Exception as error:
        if type(error).__name__ == "Abort":  # what older versions of typer make of an interrupt
            _stop()
        if not hasattr(error, "exit_code") or not hasattr(error, "show"):
            raise
        error.show()  # a usage error, which knows how to print itself
        sys.exit(error.exit_code)
    if code == _INTERRUPTED:  # what newer ones make of it
        _stop()
    sys.exit(code if isinstance(code, int) else 0)


def _stop() -> None:
    print("\ninterrupted; what is finished is kept, and the same command goes on from there", file=sys.stderr)
    sys.exit(_INTERRUPTED)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"warning: {message}", file=sys.stderr)
