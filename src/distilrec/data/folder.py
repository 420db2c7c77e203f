"""Which file of a folder is the log, which the catalogue, which the table of users."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from distilrec.data.columns import Role, has_weight_or_time, roles_of
from distilrec.data.formats import SUFFIXES, peek_columns
from distilrec.data.movielens import role_of
from distilrec.errors import DataError

_LOG_NAMES = ("interactions", "events", "ratings", "sequential", "sequences")
_CATALOGUE_NAMES = [
    "items",
    "item",
    "movies",
    "products",
    "artists",
    "books",
    "tracks",
    "songs",
    "games",
    "apps",
]
_CATALOGUE_NAMES += ["articles", "catalogue", "catalog", "meta", "metadata"]
_USER_NAMES = ("users", "user", "customers")
_ARGUMENT: dict[Role, str] = {"log": "the file itself", "catalogue": "items=", "users": "users="}


@dataclass(frozen=True)
class Files:
    """The choice, and why other files were left."""

    log: Path
    catalogue: Path | None
    users: Path | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    path: Path
    points: int


def choose_files(folder: Path, *, columns: Mapping[str, str] | None = None, known: Container[Role] = ()) -> Files:
    """Choose by names that data sets are known by, then by columns.

    Of several that could be the log, one that also has a time or a weight wins. Two equals are refused, except
    for a role that is `known` without looking.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and p.is_file() and p.name[0] != ".")
    candidates: dict[Role, list[_Candidate]] = {"log": [], "catalogue": [], "users": []}
    seen: list[str] = []
    for path in files:
        names = _canonical(peek_columns(path, role_of(path) or "log"), columns)
        seen.append(f"{path.name} has {', '.join(names[:8]) or 'no columns'}")
        if found := _role(path, names):
            candidates[found[0]].append(_Candidate(path, found[1]))
    if not candidates["log"]:
        held = "; ".join(seen) or "no CSV, TSV, Parquet, JSON lines, RecBole or MovieLens file"
        raise DataError(f"{folder} has no file with a user and an item column. It holds: {held}. {_ADVICE}")
    chosen = {role: None if role in known else _best(folder, role, found) for role, found in candidates.items()}
    assert chosen["log"] is not None
    return Files(chosen["log"], chosen["catalogue"], chosen["users"], _notes(candidates, chosen))


_ADVICE = "Give the file itself, with columns={'user_id': ..., 'item_id': ...} if its names are unusual"


def _canonical(names: list[str], columns: Mapping[str, str] | None) -> list[str]:
    given = {own: canonical for canonical, own in (columns or {}).items()}
    return [given.get(name, name) for name in names]


def _role(path: Path, names: list[str]) -> tuple[Role, int] | None:
    has_user, has_item = roles_of(names)
    stem = path.stem.casefold()
    if has_user and has_item:
        known = role_of(path) == "log" or path.suffix == ".inter" or stem.startswith(_LOG_NAMES)
        return "log", 2 * known + has_weight_or_time(names)
    known = role_of(path) == "catalogue" or path.suffix == ".item" or stem in _CATALOGUE_NAMES
    if (has_item and not has_user) or (known and "id" in names):
        return "catalogue", int(known)
    known = role_of(path) == "users" or path.suffix == ".user" or stem in _USER_NAMES
    return ("users", 1) if known and (has_user or "id" in names) else None


def _best(folder: Path, role: Role, found: list[_Candidate]) -> Path | None:
    if not found:
        return None
    most = max(candidate.points for candidate in found)
    best = [candidate.path for candidate in found if candidate.points == most]
    if len(best) > 1:
        what = {"log": "log", "catalogue": "catalogue", "users": "table of users"}[role]
        names = " and ".join(path.name for path in best)
        say = f"read {best[0]}" if role == "log" else f"{_ARGUMENT[role]}{best[0].name!r}"
        raise DataError(f"{folder}: {names} could each be the {what}. Say which one: {say}")
    return best[0]


def _notes(candidates: Mapping[Role, list[_Candidate]], chosen: Mapping[Role, Path | None]) -> tuple[str, ...]:
    notes = []
    for role, found in candidates.items():
        left = [c.path.name for c in found if c.path != chosen[role]]
        best = chosen[role]
        if left and best:
            how = f"{_ARGUMENT[role]}{left[0]!r}" if role != "log" else f"the path of {left[0]}"
            notes.append(f"{best.name} was chosen over {', '.join(left)}; to choose otherwise give {how}")
    return tuple(notes)
