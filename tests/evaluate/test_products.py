import numpy as np
import pytest

from distilrec.errors import DataError
from distilrec.evaluate import products
from distilrec.evaluate.evaluation import evaluate
from distilrec.evaluate.lists import TopLists
from distilrec.evaluate.products import Products
from distilrec.types import Cases, Ragged

N, WIDTH, CASES = 50, 4, 30
DRAW = np.random.default_rng(0)
ITEMS = DRAW.integers(-2, 3, (N, WIDTH)).astype(np.float32)  # whole numbers: products are exact, and many are equal


class Plain:
    """The same scores, asked for whole."""

    n_items = N

    def __init__(self, scorer):
        self.scores = scorer.scores


def last_item(batch):
    return ITEMS[batch.items[np.arange(len(batch)), batch.lengths - 1]]


def world(most_relevant):
    drawn = [DRAW.permutation(N) for _ in range(CASES)]
    counts = DRAW.integers(1, most_relevant + 1, CASES)
    histories = [[*items[20:25], items[20]] for items in drawn]
    relevant = [items[:count] for items, count in zip(drawn, counts, strict=True)]
    return Cases(np.arange(CASES), Ragged.of(histories), Ragged.of(relevant))


@pytest.mark.parametrize("most_relevant", [1, 5, 18])
@pytest.mark.parametrize("exclude_history", [True, False])
def test_chunks_of_the_catalogue_give_what_whole_rows_give(monkeypatch, most_relevant, exclude_history):
    monkeypatch.setattr(products, "_SCORES_AT_ONCE", 7 * 8)
    monkeypatch.setattr(products, "_CASES_AT_ONCE", 8)
    scorer, cases = Products(ITEMS, last_item), world(most_relevant)
    shown = TopLists(CASES, N, k=9), TopLists(CASES, N, k=9)  # longer than a chunk of 7 items
    chunks = evaluate(scorer, cases, exclude_history=exclude_history, watch=shown[0], quiet=True)
    whole = evaluate(Plain(scorer), cases, exclude_history=exclude_history, watch=shown[1], quiet=True)
    assert shown[0].items.tolist() == shown[1].items.tolist()
    assert chunks.per_user.equals(whole.per_user)
    assert chunks.protocol == whole.protocol


def test_a_scorer_may_say_that_its_scores_are_products():
    """Its rows of scores are not asked for; one that has no products is asked for rows."""

    class Saved(Plain):
        def products(self):
            return known

        def scores(self, batch):
            raise AssertionError("asked for rows of scores")

    known, cases = Products(ITEMS, last_item), world(1)
    saved = object.__new__(Saved)
    assert evaluate(saved, cases, quiet=True).per_user.equals(evaluate(known, cases, quiet=True).per_user)
    known = None
    with pytest.raises(AssertionError, match="asked for rows of scores"):
        evaluate(saved, cases, quiet=True)


def test_whoever_watches_is_shown_whole_rows():
    shapes = []
    evaluate(Products(ITEMS, last_item), world(1), watch=lambda rows, scores: shapes.append(scores.shape), quiet=True)
    assert {shape[1] for shape in shapes} == {N}


@pytest.mark.parametrize("width", [1, 16, 64, 300])
@pytest.mark.parametrize("n_vectors", [1, 10])
def test_items_with_one_vector_are_tied_whatever_rounding_makes_of_their_products(width, n_vectors):
    """Answers come last among those with their vector; products of a chunk and of a pair differ in their last bits."""
    n_items, draw = 1000, np.random.default_rng(1)
    items = draw.normal(size=(n_vectors, width)).astype(np.float32)[np.arange(n_items) % n_vectors]
    read = draw.normal(size=(200, width)).astype(np.float32)
    answers = draw.integers(0, n_items, 200)
    cases = Cases(np.arange(200), Ragged.of([[]] * 200), Ragged.of(answers[:, None]))
    found, _ = products.rank_products(Products(items, lambda batch: read[: len(batch)]), cases, quiet=True)
    order = np.argsort(-(read.astype(np.float64) @ items[:n_vectors].T.astype(np.float64)), axis=1)
    place = np.argmax(order == answers[:, None] % n_vectors, axis=1) + 1  # of its vector among the vectors
    assert found.values.tolist() == (place * (n_items // n_vectors)).tolist()


def test_answers_that_rounding_cannot_tell_apart_are_in_order_among_themselves():
    items = np.ones((6, 64), dtype=np.float32)
    items[1] += np.float32(1e-7)  # less than what products of 64 numbers are worth
    cases = Cases(np.arange(1), Ragged.of([[]]), Ragged.of([[0, 1]]))
    vectors = np.random.default_rng(2).random((1, 64)).astype(np.float32)
    found, _ = products.rank_products(Products(items, lambda batch: vectors), cases, quiet=True)
    assert sorted(found.values.tolist()) == [5, 6]  # behind all four others, and not on one place


def test_vectors_whose_products_could_overflow_are_refused():
    huge = np.full((N, WIDTH), 1e30, dtype=np.float32)
    with pytest.raises(DataError, match=r"scores may reach 4e\+60, more than float32 holds; the model has diverged"):
        evaluate(Products(huge, lambda batch: huge[: len(batch)]), world(1), quiet=True)


def test_damaged_vectors_are_refused():
    broken = ITEMS.copy()
    broken[3, 0] = np.nan
    with pytest.raises(DataError, match="the item vectors contain NaN or infinity"):
        evaluate(Products(broken, last_item), world(1), quiet=True)
    with pytest.raises(DataError, match="the vector of case 0 contains NaN or infinity"):
        evaluate(Products(ITEMS, lambda batch: np.full((len(batch), WIDTH), np.inf)), world(1), quiet=True)
    with pytest.raises(
        DataError, match=r"the scorer gave vectors of shape \(30, 3\); expected \(30, 4\): cases, width"
    ):
        evaluate(Products(ITEMS, lambda batch: last_item(batch)[:, :3]), world(1), quiet=True)


def test_an_answer_in_the_history_is_refused_here_too():
    cases = Cases(np.array([0]), Ragged.of([[1, 2]]), Ragged.of([[2]]))
    with pytest.raises(DataError, match="relevant item 2 of case 0 is in its history"):
        evaluate(Products(ITEMS, last_item), cases, quiet=True)
