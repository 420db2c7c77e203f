"""Which column is which: canonical names, their common aliases, and what to say when it is not clear."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from distilrec.errors import DataError

Role = Literal["log", "catalogue", "users"]
_Aliases = tuple[list[str], list[str]]

# Each canonical column has aliases, then fallbacks that count only when no alias is there. All are written as
# `_plain` leaves them: without case, spaces, underscores, hyphens, dots and RecBole's type.
_USER: _Aliases = (
    ["userid", "user", "uid", "customerid", "customer", "reviewerid", "visitorid", "memberid", "accountid"],
    ["sessionid", "session"],
)
_GOODS = ["productid", "product", "stockcode", "sku", "asin", "articleid", "appid", "gameid", "businessid"]
_MEDIA = ["movieid", "movie", "artistid", "trackid", "songid", "videoid", "bookid", "isbn", "newsid"]
_ITEM: _Aliases = (["itemid", "item", "iid", *_GOODS, *_MEDIA], ["parentasin"])
_TIME: _Aliases = (
    [
        "timestamp",
        "ts",
        "time",
        "date",
        "datetime",
        "invoicedate",
        "unixreviewtime",
        "eventtime",
        "createdat",
    ],
    [],
)
_WEIGHT: _Aliases = (
    ["weight", "rating", "ratings", "stars", "score", "overall", "count", "cnt", "plays", "quantity", "qty"],
    [],
)
_ORDER: _Aliases = (["position", "order"], [])

_KNOWN: dict[Role, dict[str, _Aliases]] = {
    "log": {"user_id": _USER, "item_id": _ITEM, "timestamp": _TIME, "weight": _WEIGHT, "order": _ORDER},
    "catalogue": {"item_id": (_ITEM[0], [*_ITEM[1], "id"])},
    "users": {"user_id": (_USER[0], [*_USER[1], "id"])},
}
_REQUIRED: dict[Role, tuple[str, ...]] = {
    "log": ("user_id", "item_id"),
    "catalogue": ("item_id",),
    "users": ("user_id",),
}
CANONICAL = (*_KNOWN["log"], "title")

# The first of these that a table has is its title.
_TITLES = [
    "title",
    "movietitle",
    "itemtitle",
    "producttitle",
    "booktitle",
    "productname",
    "itemname",
    "artistname",
]
_CATALOGUE_TITLES = [*_TITLES, "name", "description"]
_LOG_TITLES = [*_TITLES, "description"]  # a log's `name` may be the customer's

_RECBOLE_TYPE = re.compile(r":(token|float|token_seq|float_seq)$")


def without_type(name: str) -> str:
    """Drop RecBole's type from a column's name: `user_id:token` is `user_id`."""
    return _RECBOLE_TYPE.sub("", name.strip())


def map_columns(
    names: Sequence[str], role: Role, *, where: str, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Find the table's own name of each canonical column; `given` (canonical: own) wins where it applies."""
    given = {canonical: own for canonical, own in (given or {}).items() if own in names}
    free = [name for name in names if name not in given.values()]
    found: dict[str, str] = {}
    for canonical in _KNOWN[role]:
        own = given.get(canonical) or _alias(free, canonical, role, where)
        if own is not None:
            found[canonical] = own
        elif canonical in _REQUIRED[role]:
            raise DataError(_missing(canonical, names, where))
    if "timestamp" in found and "order" not in given:
        found.pop("order", None)  # the time already gives the order
    title = given.get("title") or title_column(free, role)
    return {**found, "title": title} if title else found


def title_column(names: Sequence[str], role: Role) -> str | None:
    """The column that says in words what an item is."""
    if role == "users":
        return None
    plain = {_plain(name): name for name in reversed(names)}
    wanted = _CATALOGUE_TITLES if role == "catalogue" else _LOG_TITLES
    return next((plain[alias] for alias in wanted if alias in plain), None)


def roles_of(names: Sequence[str]) -> tuple[bool, bool]:
    """Whether a table has a user column, and whether it has an item column, by aliases alone."""
    return _has(names, _USER), _has(names, _ITEM)


def has_weight_or_time(names: Sequence[str]) -> bool:
    """Whether a table says how much or when, by aliases alone."""
    return any(_has(names, column) for column in (_TIME, _WEIGHT, _ORDER))


def check_given(given: Mapping[str, str] | None, tables: Mapping[str, Sequence[str]]) -> None:
    """Refuse a mapping to or from a column that does not exist; `tables` is each file's columns."""
    taken: dict[str, str] = {}
    for canonical, own in (given or {}).items():
        if own in taken:
            raise DataError(f"columns={{...}}: {own!r} is given for both {taken[own]} and {canonical}; choose one")
        taken[own] = canonical
        if canonical not in CANONICAL:
            raise DataError(
                f"columns={{{canonical!r}: {own!r}}}: {canonical!r} is not a column that DistilRec knows. "
                f"Expected one of {', '.join(CANONICAL)}, then your column's name"
            )
        if not any(own in names for names in tables.values()):
            found = "; ".join(f"{where} has {_listed(names)}" for where, names in tables.items())
            raise DataError(f"columns={{{canonical!r}: {own!r}}}: there is no column {own!r}: {found}")


def _has(names: Sequence[str], column: _Aliases) -> bool:
    return not {_plain(name) for name in names}.isdisjoint({*column[0], *column[1]})


def _alias(names: Sequence[str], canonical: str, role: Role, where: str) -> str | None:
    for aliases in _KNOWN[role][canonical]:
        candidates = [name for name in names if _plain(name) in aliases]
        if len(candidates) > 1:
            raise DataError(
                f"{where}: the columns {' and '.join(map(repr, candidates))} can each be {canonical}. "
                f"Choose one: columns={{{canonical!r}: {candidates[0]!r}}}"
            )
        if candidates:
            return candidates[0]
    return None


def _missing(canonical: str, names: Sequence[str], where: str) -> str:
    joined = next((name for name in names if re.search(r"\w[,;|\t]\w", name)), None)
    advice = f"{joined!r} looks like several; give separator=..." if joined else "if it has no header line, add one"
    return (
        f"{where} has no column for {canonical}; its columns are {_listed(names)}. "
        f"Say which one it is with columns={{{canonical!r}: 'its name'}}; "
        f"{advice}"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:20]))
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown


def _plain(name: str) -> str:
    return re.sub(r"[\s_.\-]", "", without_type(name)).casefold()
