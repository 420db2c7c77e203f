"""Ranked lists of other programs become soft labels at the positions that they speak of."""

import json
import math

import numpy as np
import polars as pl
import pytest

from distilrec.config import parse
from distilrec.data.batches import Windows
from distilrec.data.interactions import build_interactions
from distilrec.data.split import Split
from distilrec.errors import DataError, KnowledgeError, SettingsError
from distilrec.knowledge import Knowledge
from distilrec.teach import outside
from distilrec.teach.outside import import_rankings
from distilrec.teach.outside_lists import RankingSettings
from distilrec.types import Cases, Ragged

LOG = {"ann": [1, 2, 3, 4], "bob": [2, 3], "cas": [5, 6], "dee": [6]}
"""Items 1 to 6. With windows of two positions, ann has two windows: after 2 and 3 events, and after 1."""
PLACES = [("ann", 2), ("ann", 3), ("ann", 1), ("bob", 1), ("cas", 1)]


def anns(shares):
    """The same list at all of ann's places."""
    return dict.fromkeys(PLACES[:3], shares)


def data(log=LOG):
    events = [(user, str(item)) for user, items in log.items() for item in items]
    interactions = build_interactions(pl.DataFrame(events, schema=["user_id", "item_id"], orient="row"))
    none = Cases(np.zeros(0, np.int64), Ragged.of([]), Ragged.of([]))
    return interactions, Split(interactions.sequences(), np.arange(interactions.n_users), none, none, [])


def save(path, table):
    frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(table, strict=False)
    frame.write_ndjson(path) if path.suffix == ".jsonl" else frame.write_parquet(path)
    return path


def told(tmp_path, table, *, suffix=".parquet", max_length=2, log=LOG, item_vectors=None, **settings):
    """Import a table; nothing is left to the tail unless said."""
    interactions, split = data(log)
    path = table if not isinstance(table, dict | pl.DataFrame) else save(tmp_path / f"lists{suffix}", table)
    chosen = parse(RankingSettings, {"tail_mass": 0, **settings})
    return import_rankings(
        path,
        tmp_path / "knowledge",
        interactions=interactions,
        split=split,
        max_length=max_length,
        settings=chosen,
        item_vectors=item_vectors,
    )


def lists(knowledge):
    """At each place that has a list, the probability of each item of it."""
    starts = np.concatenate([[0], np.cumsum(knowledge.table("positions"))])
    windows = Windows.cut(data()[1].train, max_length=2)
    (labels,) = knowledge.soft_labels(windows.batch(np.arange(len(windows))))
    assert starts[-1] == len(labels.items) == len(PLACES)
    assert not labels.log_sums.any()
    found = {}
    for place, items, logits in zip(PLACES, labels.items, labels.logits, strict=True):
        pairs = [(int(item) + 1, round(math.exp(logit), 3)) for item, logit in zip(items, logits, strict=True)]
        found[place] = {item: share for item, share in pairs if item > 0}
    return {place: shares for place, shares in found.items() if shares}


def logs(*weights):
    return [math.log(weight) for weight in weights]


LONG = {"user_id": ["ann", "ann", "bob"], "item_id": [4, 5, 3], "score": logs(3, 1, 1)}
WIDE = {"user_id": ["ann", "bob"], "item_ids": [[4, 5], [3]], "scores": [logs(3, 1), logs(1)]}


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize("table", [LONG, WIDE], ids=["long", "wide"])
def test_a_users_list_speaks_of_all_positions_of_that_user(tmp_path, table, suffix):
    knowledge, report = told(tmp_path, table, suffix=suffix)
    assert lists(knowledge) == {**anns({4: 0.75, 5: 0.25}), ("bob", 1): {3: 1}}
    assert (report.positions, report.positions_covered, report.users, report.users_covered) == (5, 4, 3, 2)


def test_rows_of_one_user_need_not_be_together_or_in_order(tmp_path):
    table = {"user_id": ["ann", "bob", "ann"], "item_id": [5, 3, 4], "score": logs(1, 1, 3)}
    assert lists(told(tmp_path, table)[0])[("ann", 1)] == {4: 0.75, 5: 0.25}


def test_the_best_item_comes_first(tmp_path):
    knowledge, _ = told(tmp_path, {"user_id": ["ann"], "item_ids": [[5, 4]], "scores": [logs(1, 3)]})
    assert list(lists(knowledge)[("ann", 1)]) == [4, 5]


def test_the_tail_has_its_share(tmp_path):
    knowledge, _ = told(tmp_path, LONG, tail_mass=0.2)
    assert lists(knowledge)[("ann", 1)] == {4: 0.6, 5: 0.2}


def test_scores_are_divided_by_the_scale(tmp_path):
    """Odds of 9 to 1 become 3 to 1."""
    knowledge, _ = told(tmp_path, {"user_id": ["ann"], "item_ids": [[4, 5]], "scores": [logs(9, 1)]}, scale=2)
    assert lists(knowledge)[("ann", 1)] == {4: 0.75, 5: 0.25}


def test_scores_of_any_size_are_taken(tmp_path):
    """float16 holds nothing above 65504."""
    knowledge, _ = told(tmp_path, {"user_id": ["ann"], "item_ids": [[4, 5]], "scores": [[1e9, -1e9]]})
    assert lists(knowledge)[("ann", 1)] == {4: 1, 5: 0}


@pytest.mark.parametrize("first", [0, 1])
def test_ranks_weigh_less_and_less(tmp_path, first):
    """With this scale each rank weighs half of the one before; it does not matter from where they are counted."""
    ranks = [first + 1, first, first + 2]
    table = {"user_id": ["ann"] * 3, "item_id": [5, 4, 6], "rank": ranks}
    knowledge, _ = told(tmp_path, table, rank_scale=1 / math.log(2))
    assert lists(knowledge)[("ann", 1)] == {4: round(4 / 7, 3), 5: round(2 / 7, 3), 6: round(1 / 7, 3)}


def test_an_items_place_in_a_list_without_scores_is_its_rank(tmp_path):
    table = {"user_id": ["ann"], "item_ids": [[4, 5, 6]]}
    knowledge, _ = told(tmp_path, table, rank_scale=1 / math.log(2))
    assert lists(knowledge)[("ann", 1)] == {4: round(4 / 7, 3), 5: round(2 / 7, 3), 6: round(1 / 7, 3)}


def test_where_there_are_scores_and_ranks_the_scores_count(tmp_path):
    assert lists(told(tmp_path, {**LONG, "rank": [2, 1, 1]})[0])[("ann", 1)] == {4: 0.75, 5: 0.25}


def test_probabilities_are_kept_and_what_they_leave_is_the_tails(tmp_path):
    table = {"user_id": ["ann"], "item_ids": [[4, 5]], "scores": [[0.5, 0.3]]}
    knowledge, _ = told(tmp_path, table, scores="probabilities", tail_mass=0.9)
    assert lists(knowledge)[("ann", 1)] == {4: 0.5, 5: 0.3}


def test_a_list_of_the_whole_catalogue_has_no_tail(tmp_path):
    table = {"user_id": ["ann"], "item_ids": [[1, 2, 3, 4, 5, 6]], "scores": [logs(5, 1, 1, 1, 1, 1)]}
    assert sum(lists(told(tmp_path, table, tail_mass=0.5)[0])[("ann", 1)].values()) == pytest.approx(1)


def test_what_is_cut_off_a_list_goes_to_the_tail(tmp_path):
    table = {"user_id": ["ann", "bob"], "item_ids": [[4, 5, 6], [3]], "scores": [logs(2, 1, 1), logs(1)]}
    knowledge, report = told(tmp_path, table, top_k=2)
    assert lists(knowledge)[("ann", 1)] == {4: 0.5, 5: 0.25}
    assert report.counts.lists_cut == 1
    assert "1 lists were cut to their best items" in report.lines()


def test_no_list_takes_more_room_than_the_longest(tmp_path):
    assert told(tmp_path, WIDE)[0].columns["top_items"].shape == (2,)


def test_a_list_with_after_speaks_of_one_position(tmp_path):
    table = {"user_id": ["ann", "ann"], "after": [3, 1], "item_ids": [[4], [2]]}
    knowledge, report = told(tmp_path, table)
    assert lists(knowledge) == {("ann", 3): {4: 1}, ("ann", 1): {2: 1}}
    assert (report.positions_covered, report.users_covered, report.next_item_listed) == (2, 1, 1)


@pytest.mark.parametrize("after", [[None, 3], [3, None]])
def test_a_list_for_one_position_wins_over_that_for_all(tmp_path, after):
    lists_of = {None: [6], 3: [4]}
    table = {"user_id": ["ann", "ann"], "after": after, "item_ids": [lists_of[seen] for seen in after]}
    assert lists(told(tmp_path, table)[0]) == {("ann", 2): {6: 1}, ("ann", 3): {4: 1}, ("ann", 1): {6: 1}}


def test_rows_of_one_user_and_place_are_one_list(tmp_path):
    table = {"user_id": ["ann"] * 4, "after": [1, 3, 1, None], "item_id": [2, 4, 3, 6], "score": logs(3, 1, 1, 1)}
    assert lists(told(tmp_path, table)[0]) == {
        ("ann", 1): {2: 0.75, 3: 0.25},
        ("ann", 3): {4: 1},
        ("ann", 2): {6: 1},
    }


def test_lists_after_events_that_nothing_was_predicted_from_are_counted(tmp_path):
    """Before the first event there is no position, and after the last training event there is none either."""
    table = {"user_id": ["ann"] * 3 + ["bob"], "after": [0, 4, 9, 1], "item_ids": [[4]] * 4}
    knowledge, report = told(tmp_path, table)
    assert lists(knowledge) == {("bob", 1): {4: 1}}
    assert report.lists_without_position == 3
    assert "3 lists speak of no training position" in report.lines()


def test_a_history_speaks_of_every_position_where_these_are_the_newest_items(tmp_path):
    """After two events ann has 1 and 2; after three the newest two are 2 and 3. Bob has only 2."""
    table = {"history": [[1, 2], [2, 3], [2]], "item_ids": [[3], [4], [5]]}
    knowledge, report = told(tmp_path, table)
    assert lists(knowledge) == {("ann", 2): {3: 1}, ("ann", 3): {4: 1}, ("bob", 1): {5: 1}}
    assert report.lists_without_position == 0


def test_the_same_history_of_several_users_is_one_list_for_all(tmp_path):
    log = {**LOG, "bob": [1, 5]}
    knowledge, report = told(tmp_path, {"history": [[1]], "item_ids": [[4]]}, log=log)
    assert report.positions_covered == 2
    assert knowledge.n_windows == 4


def test_only_the_newest_items_of_a_long_history_count(tmp_path):
    knowledge, _ = told(tmp_path, {"history": [[6, 5, 2, 3]], "item_ids": [[4]]})
    assert lists(knowledge) == {("ann", 3): {4: 1}}


def test_histories_may_come_one_row_an_item(tmp_path):
    table = {"history": [[1, 2], [2], [1, 2]], "item_id": [3, 5, 4], "score": logs(3, 1, 1)}
    assert lists(told(tmp_path, table)[0]) == {("ann", 2): {3: 0.75, 4: 0.25}, ("bob", 1): {5: 1}}


@pytest.mark.parametrize("seed", range(3))
def test_every_position_gets_its_own_list_whatever_the_windows(tmp_path, seed):
    """Each user and place has a list of one item, which tells them apart; checked window by window."""
    draw = np.random.default_rng(seed)
    log = {f"u{user}": draw.integers(1, 30, draw.integers(2, 12)).tolist() for user in range(8)}
    log["all"] = list(range(1, 30))
    max_length = int(draw.integers(1, 6))
    places = [(user, after) for user, items in log.items() for after in range(1, len(items))]
    marks = {place: 1 + number % 29 for number, place in enumerate(places)}
    table = {
        "user_id": [u for u, _ in places],
        "after": [a for _, a in places],
        "item_ids": [[m] for m in marks.values()],
    }
    knowledge, report = told(tmp_path, table, max_length=max_length, log=log)
    assert report.positions_covered == report.positions == len(places)
    interactions, split = data(log)
    windows = Windows.cut(split.train, max_length=max_length)
    for row in range(len(windows)):
        (labels,) = knowledge.soft_labels(windows.batch(np.array([row])))
        user = interactions.users["user_id"][int(windows.owners[row])]
        seen = windows.begins[row] + 1 + np.arange(windows.positions[row])
        assert (labels.items[:, 0] + 1).tolist() == [marks[user, int(after)] for after in seen]


@pytest.mark.parametrize(
    ("users", "items"),
    [(["ann", "bob"], ["4", "5"]), (["ann", "bob"], [4.0, 5.0]), ([" ann ", "bob"], ["4", " 5"])],
    ids=["text", "floats", "spaces"],
)
def test_ids_are_found_in_whatever_form_they_come(tmp_path, users, items):
    knowledge, _ = told(tmp_path, {"user_id": users, "item_id": items, "score": [1.0, 1.0]})
    assert lists(knowledge) == {**anns({4: 1}), ("bob", 1): {5: 1}}


def test_categories_are_ids_and_arrays_are_lists(tmp_path):
    frame = pl.DataFrame(
        {"user_id": ["ann"], "item_ids": [[4, 5]]}, schema_overrides={"item_ids": pl.Array(pl.Int32, 2)}
    )
    frame = frame.with_columns(pl.col("user_id").cast(pl.Categorical))
    assert set(lists(told(tmp_path, frame)[0])[("ann", 1)]) == {4, 5}


def test_unknown_items_are_refused_by_name(tmp_path):
    table = {"user_id": ["ann"] * 5, "item_id": [4, 7, 8, 9, 10], "score": [0.0] * 5}
    message = r"has 4 items that the prepared data has not \(first: 7, 8, 9\)\. Check that both come from the same data"
    with pytest.raises(KnowledgeError, match=message):
        told(tmp_path, table)


def test_unknown_users_are_refused_by_name(tmp_path):
    with pytest.raises(KnowledgeError, match=r"has 1 users that the prepared data has not \(first: 'eve'\)"):
        told(tmp_path, {"user_id": ["ann", "eve"], "item_ids": [[4], [4]]})


def test_histories_with_unknown_items_are_refused_by_name(tmp_path):
    with pytest.raises(KnowledgeError, match=r"has 1 items of histories that the prepared data has not \(first: 7\)"):
        told(tmp_path, {"history": [[7, 2]], "item_ids": [[4]]})


def test_what_is_unknown_can_be_left_out_and_is_reported(tmp_path):
    table = {"user_id": ["ann", "ann", "eve"], "item_id": [4, 7, 4], "score": logs(1, 3, 1)}
    knowledge, report = told(tmp_path, table, unknown="drop", tail_mass=0.2)
    assert lists(knowledge) == anns({4: 0.8})  # what was item 7's goes to the listed ones
    assert (report.counts.users_unknown, report.counts.items_unknown) == (1, 1)
    assert (report.counts.users_known, report.counts.items_known) == (1, 1)
    assert "1 users or histories and 1 items are unknown; left out" in report.lines()


def test_the_probability_of_an_unknown_item_does_not_go_to_the_tail(tmp_path):
    table = {"user_id": ["ann"], "item_ids": [[4, 7]], "scores": [[0.2, 0.7]]}
    knowledge, _ = told(tmp_path, table, unknown="drop", scores="probabilities")
    assert lists(knowledge)[("ann", 1)] == {4: 0.9}


def test_a_list_of_unknown_items_alone_says_nothing(tmp_path):
    table = {"user_id": ["ann", "bob"], "item_ids": [[7], [3]]}
    knowledge, report = told(tmp_path, table, unknown="drop")
    assert lists(knowledge) == {("bob", 1): {3: 1}}
    assert report.lists_without_position == 1


def test_a_history_with_an_unknown_item_says_nothing(tmp_path):
    """Without the unknown item it would be bob's."""
    knowledge, report = told(tmp_path, {"history": [[7, 2], [5]], "item_ids": [[4], [6]]}, unknown="drop")
    assert lists(knowledge) == {("cas", 1): {6: 1}}
    assert report.counts.users_unknown == 1


def test_an_empty_list_says_nothing(tmp_path):
    table = {"user_id": ["ann", "bob"], "item_ids": [[], [3]], "scores": [[], [1.0]]}
    assert lists(told(tmp_path, table)[0]) == {("bob", 1): {3: 1}}


def test_users_without_a_training_position_are_known_all_the_same(tmp_path):
    report = told(tmp_path, {"user_id": ["dee", "bob"], "item_ids": [[4], [3]]})[1]
    assert (report.counts.users_known, report.users_covered, report.lists_without_position) == (2, 1, 1)


BAD_TABLES = {
    "no user": ({"item_id": [4], "score": [1.0]}, r"does not say whom its lists are for; expected user_id or history"),
    "no item": ({"user_id": ["ann"], "score": [1.0]}, r"does not say which items .* Its columns are user_id, score"),
    "neither score nor rank": ({"user_id": ["ann"], "item_id": [4]}, "has neither score nor rank"),
    "user and history": ({"user_id": ["ann"], "history": [[1]], "item_ids": [[4]]}, "has both user_id and history"),
    "both forms": ({"user_id": ["ann"], "item_id": [4], "item_ids": [[4]]}, "has both item_id and item_ids"),
    "wide with score": ({"user_id": ["ann"], "item_ids": [[4]], "score": [[1]]}, "mixes two forms: item_ids and score"),
    "long with scores": ({"user_id": ["ann"], "item_id": [4], "scores": [1]}, "mixes two forms: item_id and scores"),
    "history and after": ({"history": [[1]], "after": [1], "item_ids": [[4]]}, "has both history and after"),
    "NaN": (
        {**LONG, "score": [1.0, math.nan, 1.0]},
        r"user 'ann', item 5 has score nan \(so have 1 rows\); expected a number. Leave those rows out",
    ),
    "infinity": ({**LONG, "score": [1.0, math.inf, math.inf]}, r"item 5 has score inf \(so have 2 rows\)"),
    "no score": ({**LONG, "score": [1.0, None, 1.0]}, "item 5 has score None"),
    "score in words": ({**LONG, "score": ["high", "low", "low"]}, "score holds String; expected numbers"),
    "same item twice": (
        {**LONG, "item_id": [4, 4, 3]},
        r"user 'ann' has item 4 twice \(1 such rows in all\); expected each once in a list",
    ),
    "same item in two spellings": (
        {"user_id": ["ann"], "item_ids": [["4", " 4"]], "scores": [[1.0, 2.0]]},
        "user 'ann' has item 4 twice",
    ),
    "same rank twice": (
        {"user_id": ["ann", "ann", "bob"], "item_id": [4, 5, 3], "rank": [1, 1, 1]},
        r"user 'ann' has rank 1 twice \(1 such rows in all\)",
    ),
    "same user twice": (
        {"user_id": ["ann", "ann"], "item_ids": [[4], [5]]},
        r"user 'ann' has two lists \(1 such lists in all\); expected one. Lists of one user at several",
    ),
    "same place twice": (
        {"user_id": ["ann", "ann"], "after": [1, 1], "item_ids": [[4], [5]]},
        "user 'ann' after 1 events has two lists",
    ),
    "same history twice": ({"history": [[1], [1]], "item_ids": [[4], [5]]}, r"the history \[1\] has two lists"),
    "same user in two spellings": (
        {"user_id": ["ann", "ann "], "item_id": [4, 5], "score": [1.0, 1.0]},
        "user 'ann' has two lists",
    ),
    "lists of unequal length": (
        {"user_id": ["ann"], "item_ids": [[4, 5]], "scores": [[1.0]]},
        r"row 0 \(from 0\) has 2 item_ids and 1 scores; expected a score for each item",
    ),
    "list without scores": (
        {"user_id": ["ann", "bob"], "item_ids": [[4], [5]], "scores": [[1.0], None]},
        r"row 1 \(from 0\) has 1 item_ids and 0 scores",
    ),
    "no list": ({"user_id": ["ann"], "item_ids": [4]}, "item_ids holds Int64; expected a list in each row"),
    "no history list": ({"history": ["1 2"], "item_ids": [[4]]}, "history holds String; expected a list in each row"),
    "empty user": ({**LONG, "user_id": ["ann", None, "bob"]}, r"row 1 \(from 0\) has no user_id; every row needs one"),
    "empty item": ({**LONG, "item_id": [4, 5, None]}, r"row 2 \(from 0\) has no item_id; every row needs one"),
    "empty item in a list": ({"user_id": ["ann"], "item_ids": [[4, None]]}, "item_ids has 1 empty ids; leave them out"),
    "empty history": ({"history": [[1], []], "item_ids": [[4], [5]]}, r"row 1 \(from 0\) has an empty history"),
    "hole in a history": ({"history": [[1, None]], "item_ids": [[4]]}, "history has 1 empty ids"),
    "truth as id": ({**LONG, "user_id": [True, True, False]}, "user_id holds Boolean; expected ids, which are numbers"),
    "lists as ids": ({**LONG, "item_id": [[4], [5], [3]]}, r"item_id holds List\(Int64\); expected ids"),
    "after in words": ({"user_id": ["ann"], "after": ["two"], "item_ids": [[4]]}, "after holds String; expected how"),
    "after below zero": (
        {"user_id": ["ann"], "after": [-1], "item_ids": [[4]]},
        "after is -1 in a row; expected a whole",
    ),
    "half an event": (
        {"user_id": ["ann"], "after": [1.5], "item_ids": [[4]]},
        "after is 1.5 in a row; expected a whole",
    ),
}


@pytest.mark.parametrize("name", list(BAD_TABLES))
def test_a_table_that_makes_no_sense_is_refused_in_words(tmp_path, name):
    table, message = BAD_TABLES[name]
    with pytest.raises(KnowledgeError, match=message) as caught:
        told(tmp_path, table)
    assert "lists.parquet" in str(caught.value)
    assert not (tmp_path / "knowledge").exists()


@pytest.mark.parametrize("score", [0, -0.1, 1.2])
def test_a_probability_lies_between_0_and_1(tmp_path, score):
    message = rf"user 'ann', item 4 has probability {score:g}; expected above 0 and at most 1. Leave out items without"
    with pytest.raises(KnowledgeError, match=message):
        told(tmp_path, {"user_id": ["ann"], "item_ids": [[4]], "scores": [[score]]}, scores="probabilities")


def test_probabilities_that_sum_to_more_than_1_are_none(tmp_path):
    table = {"user_id": ["bob", "ann"], "item_ids": [[3], [4, 5]], "scores": [[0.5], [0.9, 0.6]]}
    with pytest.raises(
        KnowledgeError, match=r"user 'ann' has probabilities that sum to 1.5; expected at most 1. Divide"
    ):
        told(tmp_path, table, scores="probabilities")


def test_lists_that_speak_of_no_position_are_refused(tmp_path):
    with pytest.raises(KnowledgeError, match=r"speaks of no training position: 1 lists, 1 users known. Check that it"):
        told(tmp_path, {"user_id": ["dee"], "item_ids": [[4]]})


def test_a_broken_line_of_json_is_named(tmp_path):
    path = tmp_path / "lists.jsonl"
    path.write_text('{"user_id": "ann", "item_ids": [4]}\n{"user_id": "bob", "item_ids": [3\n')
    with pytest.raises(DataError, match=r"lists.jsonl, line 2: .* is not JSON"):
        told(tmp_path, path)


@pytest.mark.parametrize("name", ["lists.jsonl", "lists.parquet"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"{name} is empty; expected at least one row"):
        told(tmp_path, tmp_path / name)


def test_a_table_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="has the columns user_id, item_ids but no rows"):
        told(tmp_path, pl.DataFrame({"user_id": ["ann"], "item_ids": [[4]]}).clear())


def test_a_file_that_only_pretends_to_be_parquet_is_refused(tmp_path):
    (tmp_path / "lists.parquet").write_text("user_id,item_id\nann,4\n")
    with pytest.raises(DataError, match="is not a Parquet file that can be read"):
        told(tmp_path, tmp_path / "lists.parquet")


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "lists.csv").write_text("user_id,item_id\nann,4\n")
    with pytest.raises(
        KnowledgeError, match=r"lists.csv is neither Parquet nor JSON lines; its name must end in .json"
    ):
        told(tmp_path, tmp_path / "lists.csv")


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"lists.parquet does not exist"):
        told(tmp_path, tmp_path / "lists.parquet")


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"scale": 0}, {"rank_scale": 0}, {"tail_mass": 1}, {"scores": "odds"}])
def test_settings_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        told(tmp_path, LONG, **wrong)


def test_the_report_is_for_people(tmp_path):
    table = {**LONG, "model": ["m", "m", "m"]}
    _, report = told(tmp_path, table)
    assert report.lines()[:5] == [
        "3 rows: 2 lists of 3 items",
        "positions with a list: 4 of 5 (80.0%)",
        "users with a list: 2 of 3 (66.7%)",
        "lists that hold the item that came next: 50.0%",  # 4 came after 1, 2, 3 and 3 after 2; ann's 2 and 3 did not
        "columns that were not used: model",
    ]


def test_the_manifest_holds_the_report_and_whose_knowledge_it_is(tmp_path):
    knowledge, report = told(tmp_path, LONG)
    interactions, split = data()
    manifest = Knowledge.open(tmp_path / "knowledge").manifest
    assert manifest["teacher"]["kind"] == "outside"
    assert manifest["teacher"]["file"] == "lists.parquet"
    assert manifest["import"]["positions_covered"] == report.positions_covered
    assert manifest["import"]["counts"]["rows"] == 3
    assert manifest["kinds"] == ["soft_labels"]
    assert manifest["max_length"] == 2
    knowledge.check_belongs(windows_digest=Windows.cut(split.train, max_length=2).digest(), n_items=6)
    knowledge.check_catalogue(interactions.item_ids_digest())
    json.dumps(manifest)


def test_other_settings_are_other_knowledge(tmp_path):
    first = told(tmp_path, LONG)[0].manifest["teacher_digest"]
    assert told(tmp_path, LONG)[0].manifest["teacher_digest"] == first
    assert told(tmp_path, LONG, tail_mass=0.5)[0].manifest["teacher_digest"] != first


def test_item_vectors_lie_beside_the_lists(tmp_path):
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    knowledge, _ = told(tmp_path, LONG, item_vectors=vectors)
    np.testing.assert_array_equal(knowledge.item_vectors(), vectors)
    assert knowledge.manifest["kinds"] == ["soft_labels", "item_vectors"]
    assert told(tmp_path, LONG)[0].item_vectors() is None  # the folder was filled anew


def test_item_vectors_of_another_catalogue_are_refused(tmp_path):
    with pytest.raises(KnowledgeError, match="item_vectors has 5 rows; expected 6, one an item"):
        told(tmp_path, LONG, item_vectors=np.zeros((5, 2), np.float32))


def test_the_number_of_shards_makes_no_difference(tmp_path, monkeypatch):
    whole = lists(told(tmp_path, LONG)[0])
    monkeypatch.setattr(outside, "_SHARD_CELLS", 1)
    knowledge, report = told(tmp_path, LONG, top_k=99)
    assert len(knowledge.manifest["shards"]) == 4
    assert lists(knowledge) == whole
    assert report.next_item_listed == 0.5


def test_lists_that_leave_out_the_history_are_warned_about(tmp_path):
    """40 users went through all of 20 items in turn; each list has the ten items but the one that came next."""
    log = {f"u{user}": [1 + (user + step) % 20 for step in range(20)] for user in range(40)}
    places = [(user, after) for user in log for after in range(1, 20)]
    others = [[item for item in range(1, 21) if item != log[user][after]][:10] for user, after in places]
    table = {"user_id": [u for u, _ in places], "after": [a for _, a in places], "item_ids": others}
    knowledge, report = told(tmp_path, table, log=log)
    (warning,) = report.warnings
    assert warning.startswith(
        "no list holds the item that came next, at any of 760 positions (by chance about 380 would)"
    )
    assert warning.endswith("ask for lists with them")
    assert knowledge.manifest["warnings"] == [warning]
    assert report.lines()[-1] == f"Warning: {warning}"


def test_lists_that_are_too_sure_are_warned_about(tmp_path):
    (warning,) = told(tmp_path, {"user_id": ["ann", "bob"], "item_ids": [[4], [3]]})[1].warnings
    assert warning.startswith("the soft labels are nearly one-hot")
    assert not told(tmp_path, WIDE, tail_mass=0.3)[1].warnings
