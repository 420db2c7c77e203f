"""Options that several commands share, and how their text is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from distilrec.errors import SettingsError

Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="A column's own name: user_id=who; may be given several times."),
]


def columns_from(options: Sequence[str] | None) -> dict[str, str] | None:
    """`["user_id=who"]` as `{"user_id": "who"}`."""
    mapping = {}
    for option in options or ():
        canonical, equals, own = option.partition("=")
        if not equals or not canonical or not own:
            raise SettingsError(f"--column {option!r}: expected canonical=own, such as user_id=who")
        mapping[canonical] = own
    return mapping or None


def numbers_from(text: str, option: str) -> tuple[int, ...]:
    """`"5,10"` as `(5, 10)`."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"{option} {text!r}: expected whole numbers separated by commas, such as 5,10,20") from None
