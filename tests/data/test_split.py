from collections import Counter
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilrec.config import parse
from distilrec.data.interactions import build_interactions
from distilrec.data.split import SplitSettings, split
from distilrec.errors import DataError, SettingsError


def build(**sequences):
    """Each user's items as letters; a, b, c ... are rows 0, 1, 2 ...; item number n of a user is at second n."""
    rows = [(user, item, second) for user, items in sequences.items() for second, item in enumerate(items)]
    return build_interactions(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))


def letters(ragged):
    return ["".join("abcdefghijklmnopqrstuvwxyz"[i] for i in row) for row in ragged]


def asked(cases):
    rows = zip(cases.users.tolist(), letters(cases.histories), letters(cases.relevant), strict=True)
    return [(user, history, relevant) for user, history, relevant in rows]


def test_leave_last_out_holds_out_the_last_two():
    parts = split(build(u="abcd", v="cab"), SplitSettings())
    assert letters(parts.train) == ["ab", "c"]
    assert asked(parts.validation) == [(0, "ab", "c"), (1, "c", "a")]
    assert asked(parts.test) == [(0, "abc", "d"), (1, "ca", "b")]
    assert parts.notes == []


def test_users_with_fewer_than_three_events_only_train():
    parts = split(build(u="abc", v="ab", w="c"), SplitSettings())
    assert letters(parts.train) == ["a", "ab", "c"]
    assert parts.train_users.tolist() == [0, 1, 2]
    assert parts.test.users.tolist() == [0]
    assert parts.notes == ["2 users have fewer than 3 events; all of theirs is for training"]


def test_what_is_in_the_history_is_not_asked_for_unless_wanted():
    log = build(u="abca", v="abc")
    parts = split(log, SplitSettings())
    assert asked(parts.test) == [(1, "ab", "c")]
    assert parts.notes == ["test: 1 users took nothing that was not in their history; left out"]
    assert asked(split(log, SplitSettings(new_items_only=False)).test) == [(0, "abc", "a"), (1, "ab", "c")]


def test_short_histories_are_left_out_and_counted():
    parts = split(build(u="abcd", v="abc"), SplitSettings(min_history=2))
    assert parts.validation.users.tolist() == [0]
    assert parts.notes == ["validation: 1 users do not have 2 earlier events to go by; left out"]


@pytest.mark.parametrize("cuts", [
    {"validation_from": datetime(1970, 1, 1, 0, 0, 2), "test_from": datetime(1970, 1, 1, 0, 0, 4, tzinfo=UTC)},
    {"validation_from": "1970-01-01T00:00:02", "test_from": "1970-01-01T00:00:04"},
    {"validation_from": 0.4, "test_from": 0.8},
])  # fmt: skip
def test_a_time_split_cuts_all_users_at_one_moment(cuts):
    """Ten events at seconds 0 to 4: four lie before second 2, eight before second 4."""
    parts = split(build(u="abcde", v="edcba"), parse(SplitSettings, {"kind": "time", **cuts}))
    assert letters(parts.train) == ["ab", "ed"]
    assert asked(parts.validation) == [(0, "ab", "cd"), (1, "ed", "cb")]
    assert asked(parts.test) == [(0, "abcd", "e"), (1, "edcb", "a")]
    assert parts.notes == ["validation from 1970-01-01 00:00:02, test from 1970-01-01 00:00:04"]


def test_a_time_split_asks_once_for_what_is_taken_twice():
    log = build(u="abccdd")
    parts = split(log, SplitSettings(kind="time", validation_from=2 / 6 + 0.01, test_from=4 / 6 + 0.01))
    assert asked(parts.validation) == [(0, "ab", "c")]


def test_users_without_a_past_are_left_out_of_a_time_split():
    rows = [("u", item, time) for time, item in enumerate("abcdef")] + [("v", "a", 5)]
    log = build_interactions(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    parts = split(log, SplitSettings(kind="time", validation_from=0.3, test_from=0.6))
    assert parts.test.users.tolist() == [0]
    assert "test: 1 users do not have earlier events to go by; left out" in parts.notes


def test_events_without_a_time_are_left_out_of_a_time_split():
    rows = [("u", item, time) for item, time in zip("abcdz", [0, 1, 2, 3, None], strict=True)]
    log = build_interactions(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    parts = split(log, SplitSettings(kind="time", validation_from=0.5, test_from=0.75))
    assert letters(parts.train) == ["ab"]
    assert "1 events have no time; left out of the split" in parts.notes


def test_a_log_without_times_cannot_be_split_by_time():
    log = build_interactions(pl.DataFrame({"user_id": ["u"], "item_id": ["a"]}))
    with pytest.raises(
        DataError, match=r"the log has no times.*columns=\{'timestamp': \.\.\.\}.*kind='leave_last_out'"
    ):
        split(log, SplitSettings(kind="time"))


def test_a_test_that_begins_before_validation_is_refused():
    with pytest.raises(DataError, match=r"validation begins at 1970-01-01 00:00:03 and test at 1970-01-01 00:00:01"):
        split(build(u="abcd"), SplitSettings(kind="time", validation_from=0.9, test_from=0.3))


def test_a_share_beyond_one_is_refused():
    with pytest.raises(SettingsError, match="a share of events between 0 and 1"):
        parse(SplitSettings, {"test_from": 1.5})


def many_users(count=20):
    return build(**{f"u{n:02}": "abcdefghij"[n % 5 :] for n in range(count)})


def test_held_out_users_are_never_trained_on():
    parts = split(many_users(), SplitSettings(kind="held_out_users", fraction=0.1))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (16, 2, 2)
    users = [*parts.train_users, *parts.validation.users, *parts.test.users]
    assert sorted(users) == list(range(20))
    assert set(letters(parts.test.relevant)) == {"j"}


def test_held_out_items_are_never_trained_on():
    parts = split(many_users(), SplitSettings(kind="held_out_items", fraction=0.2))
    validation, test = set(parts.validation.relevant.values), set(parts.test.relevant.values)
    assert len(validation) == len(test) == 2
    assert not validation & test
    assert not (validation | test) & {*parts.train.values, *parts.test.histories.values}


def test_a_held_out_item_is_asked_for_given_what_came_before_it():
    """Whichever letter is held out, the history is the letters before it that are not held out."""
    parts = split(build(u="abcdefghij", v="abcdefghij"), SplitSettings(kind="held_out_items", fraction=0.1))
    for history, relevant in zip(letters(parts.test.histories), letters(parts.test.relevant), strict=True):
        assert history == "".join(letter for letter in letters(parts.train)[0] if letter < relevant)


@pytest.mark.parametrize("kind", ["held_out_users", "held_out_items"])
def test_the_seed_decides_who_is_held_out(kind):
    first, again, other = (
        split(many_users(), SplitSettings(kind=kind, fraction=0.2, seed=s)).digest() for s in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(("log", "kind", "said"), [
    ({"u": "ab"}, "leave_last_out", "leave_last_out: validation has no case left (1 users have fewer than 3 events"),
    ({"u": "ab", "v": "a"}, "held_out_users", "held_out_users: only 1 users can be held out; expected at least 3"),
    ({"u": "ab"}, "held_out_items", "held_out_items: only 2 items can be held out; expected at least 3"),
])  # fmt: skip
def test_a_log_that_is_too_small_is_refused(log, kind, said):
    with pytest.raises(DataError) as error:
        split(build(**log), SplitSettings(kind=kind))
    assert said in str(error.value)


def test_nothing_left_to_learn_from_is_refused():
    """Nearly half of four users is two for validation and two for test."""
    with pytest.raises(DataError, match="held_out_users: nothing is left to learn from"):
        split(many_users(4), SplitSettings(kind="held_out_users", fraction=0.49))


logs = st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=10), min_size=4, max_size=8)
kinds = st.sampled_from(["leave_last_out", "time", "held_out_users", "held_out_items"])


@settings(max_examples=150, deadline=None)
@given(logs, kinds, st.integers(0, 3), st.booleans())
def test_nothing_asked_for_is_trained_on_and_histories_are_earlier(sequences, kind, seed, new_only):
    """Events are told apart by their place: every item of a user is counted."""
    named = {f"u{n}": "".join("abcdefgh"[item] for item in row) for n, row in enumerate(sequences)}
    log = build(**named)
    chosen = SplitSettings(
        kind=kind, fraction=0.3, seed=seed, validation_from=0.4, test_from=0.7, new_items_only=new_only
    )
    try:
        parts = split(log, chosen)
    except DataError:
        return
    everything = [Counter(row.tolist()) for row in log.sequences()]
    trained = dict(zip(parts.train_users.tolist(), map(Counter, (r.tolist() for r in parts.train)), strict=True))
    whole = [row.tolist() for row in log.sequences()]
    for cases in (parts.validation, parts.test):
        for case, user in enumerate(cases.users.tolist()):
            history, relevant = cases.histories[case].tolist(), cases.relevant[case].tolist()
            assert history
            assert relevant
            assert trained.get(user, Counter()) + Counter(relevant) <= everything[user]
            assert is_subsequence(history + relevant, whole[user])
            assert not new_only or (not set(history) & set(relevant) and len(set(relevant)) == len(relevant))


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(item in rest for item in part)


def test_a_split_by_time_also_knows_each_users_last_event_of_its_test_period():
    """From second 3 on is test: u has two events there, v one, and w none."""
    cut = {"validation_from": datetime.fromtimestamp(2, UTC), "test_from": datetime.fromtimestamp(3, UTC)}
    parts = split(build(u="abcde", v="acbd", w="ab"), SplitSettings(kind="time", **cut))
    assert asked(parts.test) == [(0, "abc", "de"), (1, "acb", "d")]
    assert asked(parts.last_event) == [(0, "abcd", "e"), (1, "acb", "d")]


def test_a_split_of_another_kind_has_no_second_protocol():
    assert split(build(u="abcd"), SplitSettings()).last_event is None
