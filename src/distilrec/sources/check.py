"""Whether a folder holds a source's files, each with the digest that we know."""

from __future__ import annotations

from pathlib import Path

from distilrec.errors import SourceError
from distilrec.files import sha256_of_file
from distilrec.sources.known import Form, Source


def verify(source: Source, folder: Path, *, called: str | None = None) -> None:
    """Refuse a folder that lacks a file, or holds one with another digest.

    `called` is what the messages call the folder, when its own name would mean nothing to the reader.
    """
    form, name_of_folder = _form_in(source, folder), called or str(folder)
    missing = [name for name in form.required if not (folder / name).is_file()]
    if missing:
        raise SourceError(f"{name_of_folder} lacks {', '.join(missing)}; expected {files_wanted(source)}")
    for name, expected in form.files.items():
        file = folder / name
        if file.is_file() and (got := sha256_of_file(file)) != expected:
            raise SourceError(
                f"{name_of_folder}: {name} is not the file of {source.what} that we know: "
                f"SHA-256 is {got}; expected {expected}"
            )


def _form_in(source: Source, folder: Path) -> Form:
    """The form of which the folder holds the most files."""
    if not folder.is_dir():
        raise SourceError(f"{folder} does not exist; expected a folder with {files_wanted(source)}")
    held = [sum((folder / name).is_file() for name in form.required) for form in source.forms]
    return source.forms[held.index(max(held))]


def files_wanted(source: Source) -> str:
    """The files that make a source, in words."""
    return ", or ".join(" + ".join(form.required) for form in source.forms)
