import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilrec.errors import SettingsError
from distilrec.evaluate import lists as lists_module
from distilrec.evaluate import scoring
from distilrec.evaluate.evaluation import evaluate
from distilrec.evaluate.lists import TopLists, best_items, top_lists
from distilrec.types import Cases, Ragged


class Rows:
    """Case i, whose history ends with item i, gets row i of a table of scores."""

    def __init__(self, table):
        self.table = np.array(table, dtype=np.float32)
        self.n_items = self.table.shape[1]

    def scores(self, batch):
        return self.table[batch.items[np.arange(len(batch)), batch.lengths - 1]]


CASES = Cases(np.arange(2), Ragged.of([[0], [2, 1]]), Ragged.of([[3], [3]]))
SCORER = Rows([[9, 1, 2, 3], [4, 3, 2, 1]])


def test_the_best_items_are_shown_and_the_history_is_not():
    assert top_lists(SCORER, CASES, k=2, quiet=True).tolist() == [[3, 2], [0, 3]]
    assert top_lists(SCORER, CASES, k=2, exclude_history=False, quiet=True).tolist() == [[0, 3], [0, 1]]


def test_watching_an_evaluation_gives_the_same_lists(monkeypatch):
    monkeypatch.setattr(scoring, "_IN_CACHE", 4)  # a case at a time
    monkeypatch.setattr(lists_module, "_SCORES_AT_ONCE", 4)
    assert top_lists(SCORER, CASES, k=2, quiet=True).tolist() == [[3, 2], [0, 3]]
    watch = TopLists(2, 4, k=2)
    evaluate(SCORER, CASES, cutoffs=[1], watch=watch, quiet=True)
    assert watch.items.tolist() == [[3, 2], [0, 3]]


def test_where_nothing_is_left_nothing_is_shown():
    scores = np.array([[-np.inf, 2, -np.inf]], dtype=np.float32)
    assert best_items(scores, 3).tolist() == [[1, -1, -1]]


@given(st.lists(st.sampled_from([-np.inf, 0.0, 1.0, 2.0]), min_size=3, max_size=40), st.integers(1, 3))
def test_of_equal_scores_the_lower_row_number_comes_first(scores, k):
    kept = [item for item in range(len(scores)) if scores[item] > -np.inf]
    expected = sorted(kept, key=lambda item: (-scores[item], item))[:k]
    found = best_items(np.array([scores], dtype=np.float32), k)[0].tolist()
    assert found == expected + [-1] * (k - len(expected))


@given(st.integers(0, 1000), st.integers(1, 30))
def test_rows_of_many_scores_are_sorted_each_for_itself(seed, k):
    scores = np.random.default_rng(seed).integers(0, 300, (7, 700)).astype(np.float32)
    scores[seed % 7, k // 2 :] = -np.inf  # one row has fewer than are asked for
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    expected[seed % 7, k // 2 :] = -1
    assert best_items(scores, k).tolist() == expected.tolist()


def test_lists_longer_than_the_catalogue_are_refused():
    with pytest.raises(SettingsError, match="cut-off 5 is larger than the catalogue of 4 items"):
        TopLists(2, 4, k=5)
