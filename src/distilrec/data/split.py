"""Training sequences, and the cases that validation and test ask about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from distilrec.config import Settings
from distilrec.data.interactions import Interactions
from distilrec.errors import DataError
from distilrec.files import sha256_of_arrays
from distilrec.seeding import generator
from distilrec.types import Cases, IntArray, Ragged

Mask = NDArray[np.bool_]


class SplitSettings(Settings):
    """How to hold events out."""

    kind: Literal["leave_last_out", "time", "held_out_users", "held_out_items"] = "leave_last_out"
    """Each user's last two events; the events after a moment; some users; or some items."""

    validation_from: float | datetime = 0.8
    """time: where validation begins, as a date (UTC) or as the share of events that lie before."""

    test_from: float | datetime = 0.9
    """time: where test begins, as a date (UTC) or as the share of events that lie before."""

    fraction: float = Field(default=0.1, gt=0, lt=0.5)
    """held_out_users, held_out_items: the share held out for validation, and again for test."""

    min_history: int = Field(default=1, ge=1)
    """Ask only about users with at least this many events before."""

    new_items_only: bool = True
    """Ask only for items that are not in the history: a ranking that leaves the history out finds no other."""

    seed: int = 0
    """Which users or items are held out."""

    @field_validator("validation_from", "test_from")
    @classmethod
    def _share_or_moment(cls, value: float | datetime) -> float | datetime:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError("expected a date, or a share of events between 0 and 1")
        if isinstance(value, datetime) and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value


@dataclass(frozen=True, eq=False)
class Split:
    """What is learnt from and what is asked; no event that is asked for is learnt from."""

    train: Ragged  # sequences of item rows, oldest first
    train_users: IntArray  # user row of each sequence
    validation: Cases
    test: Cases
    notes: list[str]
    last_event: Cases | None = None
    """Of a split by time: what leave-last-out would ask of its test period, of the same models."""

    def digest(self) -> str:
        """SHA-256 of the sequences and the cases."""
        arrays = {"train_users": self.train_users, **_arrays("train", self.train)}
        for name, cases in (("validation", self.validation), ("test", self.test)):
            arrays[f"{name}/users"] = cases.users
            arrays |= _arrays(f"{name}/histories", cases.histories) | _arrays(f"{name}/relevant", cases.relevant)
        return sha256_of_arrays(arrays)


def split(interactions: Interactions, settings: SplitSettings) -> Split:
    """Hold events out. The same interactions and settings always give the same split."""
    log = _Log(interactions)
    masks = {
        "leave_last_out": _leave_last_out,
        "time": _by_time,
        "held_out_users": _held_out_users,
        "held_out_items": _held_out_items,
    }[settings.kind](log, settings)
    notes = list(masks.notes)
    train, train_users = log.sequences(masks.train)
    cases = {}
    for name, (history, relevant) in {"validation": masks.validation, "test": masks.test}.items():
        cases[name], left_out = log.cases(history, relevant, settings)
        notes += [f"{name}: {count:,} {what}; left out" for what, count in left_out.items() if count]
        if not len(cases[name]):
            raise DataError(
                f"{settings.kind}: {name} has no case left ({'; '.join(notes) or 'no event was held out'}). "
                "Use more data, another kind of split or another place to cut"
            )
    if not len(train):
        raise DataError(f"{settings.kind}: nothing is left to learn from ({'; '.join(notes)})")
    last_event = _last_event(log, masks, settings) if settings.kind == "time" else None
    return Split(train, train_users, cases["validation"], cases["test"], notes, last_event)


@dataclass(frozen=True)
class _Masks:
    """Which events are for what; a case's history and relevant events are those of one user."""

    train: Mask  # [E]
    validation: tuple[Mask, Mask]  # history, relevant
    test: tuple[Mask, Mask]
    notes: tuple[str, ...] = ()


class _Log:
    """Events as arrays: the user and item of each, and its position in its user's sequence."""

    def __init__(self, interactions: Interactions) -> None:
        self.interactions = interactions
        self.user: IntArray = interactions.events["user"].to_numpy()  # [E]
        self.item: IntArray = interactions.events["item"].to_numpy()  # [E]
        self.counts = self.count(np.ones(len(self.user), dtype=bool))  # [users]
        starts = np.cumsum(self.counts) - self.counts
        self.position: IntArray = np.arange(len(self.user)) - starts[self.user]  # [E], 0 is the oldest
        self.from_end: IntArray = self.counts[self.user] - 1 - self.position  # [E], 0 is the newest

    def count(self, events: Mask) -> IntArray:
        """How many of these events each user has."""
        return np.bincount(self.user[events], minlength=self.interactions.n_users).astype(np.int64)

    def rows(self, events: Mask, users: IntArray) -> Ragged:
        """The items of these events for each of these users, who must be in order and cover them."""
        counts = self.count(events)[users]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        return Ragged(self.item[events], offsets)

    def sequences(self, events: Mask) -> tuple[Ragged, IntArray]:
        """One row for every user with any of these events."""
        users = np.flatnonzero(self.count(events))
        return self.rows(events, users), users

    def cases(self, history: Mask, relevant: Mask, settings: SplitSettings) -> tuple[Cases, dict[str, int]]:
        """One case for every user with enough history and something to ask for; else it is counted."""
        asked = self.count(relevant) > 0
        if settings.new_items_only and relevant.any():
            relevant = relevant & ~self._seen(history, relevant)
        too_short = asked & (self.count(history) < settings.min_history)
        nothing_new = asked & ~too_short & (self.count(relevant) == 0)
        users = np.flatnonzero(asked & ~too_short & ~nothing_new)
        chosen = _among(users, self.interactions.n_users)[self.user]
        cases = Cases(users, self.rows(history & chosen, users), self.rows(relevant & chosen, users))
        enough = "earlier events" if settings.min_history == 1 else f"{settings.min_history} earlier events"
        left_out = {
            f"users do not have {enough} to go by": int(too_short.sum()),
            "users took nothing that was not in their history": int(nothing_new.sum()),
        }
        return cases, left_out

    def _seen(self, history: Mask, relevant: Mask) -> Mask:
        """Relevant events whose item the user has in the history or in an earlier relevant event."""
        pairs = self.user * self.interactions.n_items + self.item
        asked = np.flatnonzero(relevant)
        different, first, which = np.unique(pairs[asked], return_index=True, return_inverse=True)
        in_history = np.zeros(len(different), dtype=bool)
        before = pairs[history]
        nearest = np.minimum(np.searchsorted(different, before), len(different) - 1)
        in_history[nearest[different[nearest] == before]] = True
        repeated = np.ones(len(asked), dtype=bool)
        repeated[first] = False
        seen = np.zeros(len(pairs), dtype=bool)
        seen[asked] = repeated | in_history[which]
        return seen


def _leave_last_out(log: _Log, settings: SplitSettings) -> _Masks:
    """Test asks for the last event, validation for the one before; users with fewer than three only train."""
    enough = log.counts[log.user] >= 3
    too_few = int((log.counts < 3).sum())
    notes = (f"{too_few:,} users have fewer than 3 events; all of theirs is for training",) if too_few else ()
    train = ~enough | (log.from_end >= 2)
    return _Masks(
        train,
        (enough & (log.from_end >= 2), enough & (log.from_end == 1)),
        (enough & (log.from_end >= 1), enough & (log.from_end == 0)),
        notes,
    )


def _by_time(log: _Log, settings: SplitSettings) -> _Masks:
    """Train before one moment, validate from there to a second, test from there on, for all users alike."""
    times = log.interactions.events["timestamp"]
    if times.null_count() == len(times):
        raise DataError(
            "the log has no times, so it cannot be split by time. Say which column has them "
            "(columns={'timestamp': ...}), or use kind='leave_last_out'"
        )
    known = times.is_not_null().to_numpy()
    seconds = times.fill_null(0).to_numpy()
    in_order = np.sort(seconds[known])
    validation_from, test_from = (_moment(cut, in_order) for cut in (settings.validation_from, settings.test_from))
    if validation_from >= test_from:
        raise DataError(
            f"validation begins at {_utc(validation_from)} and test at {_utc(test_from)}; test must "
            "begin later. Move validation_from or test_from"
        )
    before, middle = known & (seconds < validation_from), known & (seconds < test_from)
    notes = [f"validation from {_utc(validation_from)}, test from {_utc(test_from)}"]
    if not known.all():
        notes.append(f"{int((~known).sum()):,} events have no time; left out of the split")
    return _Masks(before, (before, middle & ~before), (middle, known & ~middle), tuple(notes))


def _last_event(log: _Log, masks: _Masks, settings: SplitSettings) -> Cases | None:
    """Each user's last event, where it lies in the test period, given all before it; none where nobody has such.

    Whoever was trained on the split learnt from none of these, so both protocols can judge the same models.
    """
    asked = masks.test[1] & (log.from_end == 0)
    cases, _ = log.cases(log.from_end > 0, asked, settings)
    return cases if len(cases) else None


def _moment(cut: float | datetime, in_order: IntArray) -> int:
    if isinstance(cut, datetime):
        return int(cut.timestamp())
    return int(in_order[int(cut * len(in_order))])


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _held_out_users(log: _Log, settings: SplitSettings) -> _Masks:
    """Some users are never trained on; they are asked for their last event, given all before."""
    able = np.flatnonzero(log.counts > settings.min_history)
    validation, test = _draw(able, settings, "users")
    in_validation, in_test = (_among(chosen, log.interactions.n_users)[log.user] for chosen in (validation, test))
    last = log.from_end == 0
    return _Masks(
        ~in_validation & ~in_test,
        (in_validation & ~last, in_validation & last),
        (in_test & ~last, in_test & last),
    )


def _held_out_items(log: _Log, settings: SplitSettings) -> _Masks:
    """Some items are never trained on; users who took one are asked for it, given what they took before."""
    validation, test = _draw(np.unique(log.item), settings, "items")
    in_validation, in_test = (_among(chosen, log.interactions.n_items)[log.item] for chosen in (validation, test))
    train = ~in_validation & ~in_test
    return _Masks(train, _asked_for(log, train, in_validation), _asked_for(log, train, in_test))


def _asked_for(log: _Log, train: Mask, held: Mask) -> tuple[Mask, Mask]:
    """Held events after their user's first training event; the history is what came before the first of them."""
    never = len(log.user)
    first_train = _first(log, train, never)
    relevant = held & (log.position > first_train[log.user])
    first_relevant = _first(log, relevant, -1)
    return train & (log.position < first_relevant[log.user]), relevant


def _first(log: _Log, events: Mask, nowhere: int) -> IntArray:
    """The position of each user's first of these events, [users]."""
    first = np.full(log.interactions.n_users, nowhere, dtype=np.int64)
    chosen = np.flatnonzero(events)[::-1]  # the oldest is written last
    first[log.user[chosen]] = log.position[chosen]
    return first


def _draw(able: IntArray, settings: SplitSettings, what: str) -> tuple[IntArray, IntArray]:
    each = max(1, round(settings.fraction * len(able)))
    if len(able) < 3:
        raise DataError(f"held_out_{what}: only {len(able)} {what} can be held out; expected at least 3")
    drawn = generator(settings.seed, "split", what).permutation(able)
    return drawn[:each], drawn[each : 2 * each]


def _among(chosen: IntArray, count: int) -> Mask:
    """Which of `count` rows are chosen."""
    mask = np.zeros(count, dtype=bool)
    mask[chosen] = True
    return mask


def _arrays(name: str, rows: Ragged) -> dict[str, IntArray]:
    return {f"{name}/values": rows.values, f"{name}/offsets": rows.offsets}
