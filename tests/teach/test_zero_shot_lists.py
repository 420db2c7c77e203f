"""Ranked lists of a language model go to a file, part by part, and the importer of outside knowledge reads it."""

import numpy as np
import polars as pl
import pytest

from distilrec.data.batches import Windows
from distilrec.data.read import read
from distilrec.data.split import SplitSettings, split
from distilrec.errors import DataError
from distilrec.teach.outside import import_rankings
from distilrec.teach.zero_shot import ZeroShotRanker
from distilrec.teach.zero_shot_lists import Questions, write_rankings
from distilrec.types import Ragged
from tiny_bodies import save_tiny_body

TITLES = ["red", "green hat", "blue", "", "shoe"]


class LengthRanker:
    """The longer a title the better, and the longer the history; remembers what it was asked, and can be stopped."""

    def __init__(self, name="a"):
        self.asked, self.name, self.stop_after = [], name, 100

    def rank(self, histories, candidates):
        if len(self.asked) == self.stop_after:
            raise KeyboardInterrupt
        self.asked.append((histories, candidates))
        scores = np.full((len(candidates), 5), -np.inf, dtype=np.float32)
        for row, (history, titles) in enumerate(zip(histories, candidates, strict=True)):
            scores[row, : len(titles)] = [len(title) + 100 * len(history) for title in titles]
        return scores

    def digest(self):
        return self.name


@pytest.fixture
def data():
    """Users ann and bob with five and four events; items 10, 20, 30, 40, 50."""
    items = [10, 20, 30, 40, 50, 20, 30, 10, 50]
    interactions, _ = read(pl.DataFrame({"user_id": ["ann"] * 5 + ["bob"] * 4, "item_id": items}))
    return interactions


def questions(users=(0, 1), histories=((0, 1), ()), candidates=((0, 1, 2), (4, 3, 1))):
    return Questions(np.array(users), Ragged.of(histories), Ragged.of(candidates))


@pytest.fixture
def write(data, tmp_path):
    def write_to(asked, ranker=None, titles=TITLES, **settings):
        path = tmp_path / "rankings.parquet"
        ranker = ranker or LengthRanker()
        return write_rankings(ranker, asked, path, interactions=data, titles=titles, quiet=True, **settings), path

    return write_to


def test_each_list_is_written_best_first_with_outside_ids_and_how_much_its_history_had_seen(write):
    report, path = write(questions())
    assert pl.read_parquet(path).rows() == [
        ("ann", 20, 209.0, 1, 2),
        ("ann", 30, 204.0, 2, 2),
        ("ann", 10, 203.0, 3, 2),
        ("bob", 20, 9.0, 1, 0),
        ("bob", 50, 4.0, 2, 0),
    ]
    assert report.lines() == ["2 lists of 5 items", "1 candidates have no title and were left out"]


def test_equal_scores_keep_the_order_of_the_candidates(write):
    _, path = write(questions(candidates=([2, 4], [4, 2])), titles=["even"] * 5)
    assert pl.read_parquet(path)["item_id"].to_list() == [30, 50, 50, 30]


def test_titles_are_read_in_the_order_of_the_history_without_those_that_are_missing(write):
    ranker = LengthRanker()
    write(questions(histories=([2, 3, 0], [])), ranker)
    assert ranker.asked == [([["blue", "red"], []], [["red", "green hat", "blue"], ["shoe", "green hat"]])]


def test_a_list_none_of_whose_candidates_has_a_title_is_left_out_and_counted(write):
    report, path = write(questions(candidates=([0], [3])))
    assert pl.read_parquet(path)["user_id"].to_list() == ["ann"]
    assert report.lines()[-1] == "1 lists have no candidate with a title and were left out"


def test_an_interrupted_work_goes_on_after_the_last_finished_part(write, tmp_path):
    asked = questions(users=(0, 0, 1), histories=([0], [0, 1], [2]), candidates=([0], [1], [2]))
    ranker = LengthRanker()
    ranker.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        write(asked, ranker, lists_per_part=1)
    assert not (tmp_path / "rankings.parquet").exists()
    ranker.asked.clear()
    report, path = write(asked, ranker, lists_per_part=1)
    assert [candidates for _, candidates in ranker.asked] == [[["blue"]]]
    assert pl.read_parquet(path)["item_id"].to_list() == [10, 20, 30]
    assert report.lists == 3
    assert list(tmp_path.iterdir()) == [path]  # the parts are gone


def test_a_part_that_was_cut_off_is_done_again(write, tmp_path):
    asked = questions(users=(0, 0, 1), histories=([0], [0, 1], [2]), candidates=([0], [1], [2]))
    ranker = LengthRanker()
    ranker.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        write(asked, ranker, lists_per_part=1)
    first, _ = sorted(tmp_path.rglob("0*.parquet"))
    first.write_bytes(first.read_bytes()[:-20])
    ranker.asked.clear()
    _, path = write(asked, ranker, lists_per_part=1)
    assert [candidates for _, candidates in ranker.asked] == [[["red"]], [["blue"]]]
    assert pl.read_parquet(path).height == 3


@pytest.mark.parametrize("change", ["ranker", "questions", "titles"])
def test_parts_of_other_work_are_not_used(write, change):
    asked = questions(users=(0, 0, 1), histories=([0], [0, 1], [2]), candidates=([0], [1], [2]))
    stopped = LengthRanker()
    stopped.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        write(asked, stopped, lists_per_part=1)
    ranker = LengthRanker("b" if change == "ranker" else "a")
    if change == "questions":
        asked = questions(users=(0, 0, 1), histories=([1], [0, 1], [2]), candidates=([0], [1], [2]))
    write(asked, ranker, lists_per_part=1, titles=["crimson", *TITLES[1:]] if change == "titles" else TITLES)
    assert len(ranker.asked) == 3


@pytest.mark.parametrize(
    ("changes", "titles", "message"),
    [
        ({"users": (0,)}, TITLES, "there are 1 users, 2 histories and 2 lists of candidates; expected as many"),
        ({}, TITLES[:4], "there are 4 titles for 5 items; expected one each"),
        ({"candidates": ([0], [1, 2, 1])}, TITLES, r"question 1 \(from 0\) has a candidate twice"),
        ({"users": (1, 1), "histories": ([0], [2])}, TITLES, "two questions are for one user after as many events"),
        ({}, [" "] * 5, "none of the candidates of 2 questions has a title; there is nothing to rank"),
    ],
)
def test_what_does_not_fit_together_is_refused(write, changes, titles, message):
    with pytest.raises(DataError, match=message):
        write(questions(**changes), titles=titles)


def test_what_a_real_model_wrote_is_imported_as_knowledge(data, tmp_path):
    folder = save_tiny_body("gpt2", tmp_path / "gpt2", n_positions=128)
    (tmp_path / "prompt.txt").write_text("{history:, } then\n---\nfirst", encoding="utf-8")
    ranker = ZeroShotRanker.load(folder, prompt=tmp_path / "prompt.txt", device="cpu")
    parts = split(data, SplitSettings())
    asked = questions(histories=([0, 1], [1]), candidates=(range(5), range(5)))  # what came last is 2 for both
    path = tmp_path / "rankings.parquet"
    write_rankings(ranker, asked, path, interactions=data, titles=TITLES, quiet=True)
    knowledge, report = import_rankings(path, tmp_path / "known", interactions=data, split=parts, max_length=10)
    assert (report.positions, report.positions_covered, report.lists_without_position) == (3, 2, 0)
    assert report.next_item_listed == 1
    (labels,) = knowledge.soft_labels(Windows.cut(parts.train, max_length=10).batch(np.array([0])))
    assert (labels.items[0] == -1).all()  # nothing was asked after one of ann's events, but after two
    scores = dict(pl.read_parquet(path).filter(user_id="ann").select("item_id", "score").rows())
    listed = [10 * (item + 1) for item in labels.items[1].tolist()]
    assert listed == sorted(scores, key=scores.__getitem__, reverse=True)
    np.testing.assert_allclose(np.diff(labels.logits[1]), np.diff([scores[item] for item in listed]), atol=0.02)
