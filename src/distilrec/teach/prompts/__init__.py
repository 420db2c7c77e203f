"""Prompts that ask a language model what comes next: text files with a place for the history.

A file is one text, and after a line of three dashes, if there is one, what is said when there is no history:

    A customer bought, one after the other: {history:; }
    The customer's next product:
    ---
    A product that many customers buy:

`{history:; }` is every title of the history, oldest first, with "; " between two of them; `{history}` puts each on a
line of its own, and `\\n` in a separator is a new line too. `{newest}` is the last title. Braces are written twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Formatter

from distilrec.errors import SettingsError

FIELDS = ("history", "newest")
_CUT = re.compile(r"^---[ \t]*$", flags=re.MULTILINE)
_Part = tuple[str, str | None, str]  # plain text, then a field and how it is written, if there is one


@dataclass(frozen=True)
class Prompt:
    """A prompt, read and checked."""

    name: str
    with_history: tuple[_Part, ...]
    without_history: str

    def text(self, titles: Sequence[str]) -> str:
        """The prompt for a history of titles, oldest first; an empty history has a text of its own."""
        if not titles:
            return self.without_history
        return "".join(plain + _filled(field, separator, titles) for plain, field, separator in self.with_history)


def known_prompts() -> list[str]:
    """Names of the prompts that come with the package."""
    return sorted(file.name.removesuffix(".txt") for file in files(__name__).iterdir() if file.name.endswith(".txt"))


def load_prompt(name_or_file: str | Path) -> Prompt:
    """One that comes with the package, by name, or one's own file.

    Raises:
        SettingsError: there is none, or it has no place for the history, or a field that is not known.
    """
    name = str(name_or_file)
    if name in known_prompts():
        return read_prompt(files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8"), name)
    try:
        return read_prompt(Path(name).expanduser().read_text(encoding="utf-8"), name)
    except (FileNotFoundError, IsADirectoryError):
        raise SettingsError(
            f"prompt {name!r} is neither a file nor one of {', '.join(known_prompts())}, which come with DistilRec"
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"prompt {name} is no UTF-8 text: {error}") from None


def read_prompt(text: str, name: str) -> Prompt:
    """A prompt from its text; spaces and empty lines at the ends do not count, since a title follows after a space."""
    first, *rest = _CUT.split(text)
    if len(rest) > 1:
        raise SettingsError(f"prompt {name} has {len(rest)} lines of three dashes; expected at most one")
    parts = _parts(first.strip(), name)
    if "history" not in [field for _, field, _ in parts]:
        raise SettingsError(f"prompt {name} has no {{history}}; that is where the titles of a history go")
    if not rest:
        return Prompt(name, parts, "".join(plain for plain, _, _ in parts).strip())
    empty = _parts(rest[0].strip(), name)
    if any(field for _, field, _ in empty):
        raise SettingsError(f"prompt {name} has a field after the dashes, where there is no history to fill it with")
    return Prompt(name, parts, "".join(plain for plain, _, _ in empty))


def _parts(text: str, name: str) -> tuple[_Part, ...]:
    try:
        found = list(Formatter().parse(text))
    except ValueError as error:
        raise SettingsError(f"prompt {name}: {error}. Braces that are no field are written twice") from None
    unknown = [field for _, field, _, _ in found if field is not None and field not in FIELDS]
    if unknown:
        raise SettingsError(
            f"prompt {name} has {{{unknown[0]}}}; known fields: {', '.join(f'{{{field}}}' for field in FIELDS)}"
        )
    if any(conversion for *_, conversion in found) or any(field == "newest" and how for _, field, how, _ in found):
        raise SettingsError(f"prompt {name}: only {{history}} takes anything more, a separator: {{history:, }}")
    return tuple((plain, field, (how or "\n").replace("\\n", "\n")) for plain, field, how, _ in found)


def _filled(field: str | None, separator: str, titles: Sequence[str]) -> str:
    if field is None:
        return ""
    return separator.join(titles) if field == "history" else titles[-1]
