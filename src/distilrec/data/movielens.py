"""MovieLens files as distributed: no header, names by file, and a column for each genre."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from distilrec.data.columns import Role
from distilrec.errors import DataError

HEADLESS = {"u.data": "\t", "u.item": "|", "u.user": "|"}

_GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
]
_GENRES += [
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
_ITEM = ["item_id", "title", "release_date", "video_release_date", "imdb_url"]
_NAMES: dict[Role, list[str]] = {
    "log": ["user_id", "item_id", "rating", "timestamp"],
    "catalogue": ["item_id", "title", "genres"],
    "users": ["user_id", "gender", "age", "occupation", "zip_code"],
}


def headless_names(path: Path, role: Role, count: int) -> list[str]:
    """The names of the `count` columns of a MovieLens file, by its own name or else by what it is for."""
    if path.name == "u.item":
        names = [*_ITEM, *_genres_beside(path)]
    elif path.name == "u.user":
        names = ["user_id", "age", "gender", "occupation", "zip_code"]
    else:
        names = _NAMES[role_of(path) or role]
    if count > len(names) or count < 2:
        raise DataError(f"{path} has {count} columns and no header; expected {', '.join(names)}. Add a header line")
    return names[:count]


def role_of(path: Path) -> Role | None:
    """What a file without a header is, by its name."""
    roles: dict[str, Role] = {
        "u.data": "log",
        "u.item": "catalogue",
        "u.user": "users",
        "ratings.dat": "log",
        "movies.dat": "catalogue",
        "users.dat": "users",
    }
    return roles.get(path.name)


def fold_genres(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """One `genres` column, as in `Animation, Comedy`, for a column a genre or for `Animation|Comedy`."""
    if path.name == "u.item":
        genres = [name for name in _genres_beside(path) if name in frame.columns]
        named = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in genres]
        return frame.with_columns(genres=pl.concat_str(named, separator=", ", ignore_nulls=True)).drop(genres)
    if role_of(path) == "catalogue" and "genres" in frame.columns:
        return frame.with_columns(pl.col("genres").str.replace_all("|", ", ", literal=True))
    return frame


def _genres_beside(path: Path) -> list[str]:
    beside = path.with_name("u.genre")
    if not beside.is_file():
        return _GENRES
    lines = beside.read_text(encoding="latin-1").splitlines()
    return [line.rpartition("|")[0] for line in lines if "|" in line]
