"""What every index keeps to, against the plainest answer: all products, one after another, put in order."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilrec.errors import SettingsError
from distilrec.search import FastScanIndex, FlatIndex, FloatRows, Int8Rows, rows_of
from distilrec.storage import Codebooks, Int4, LowRank, Packed


def int8_rows(table):
    scales = np.maximum(np.abs(table).max(axis=1, initial=0), 1e-6) / 127
    return Int8Rows(np.rint(table / scales[:, None]).astype(np.int8), scales)


def flat(table):
    return FlatIndex(table), FloatRows(table)


def flat_of_float16(table):
    return FlatIndex(table.astype(np.float16)), FloatRows(table.astype(np.float16))


def flat_of_int8(table):
    return FlatIndex(int8_rows(table)), int8_rows(table)


def stored(table, form):
    packed = (
        Packed.of({"table.weight": table}, {"table.weight": form}) if len(table) else Packed.of({"table.weight": table})
    )
    return rows_of(packed)


def flat_of_int4(table):
    rows = stored(table, Int4())
    return FlatIndex(rows), rows


def flat_of_codebooks(table):
    rows = stored(table, Codebooks(codes=2, bits=4, rounds=1, unit_rows=True))
    return FlatIndex(rows), rows


def flat_of_turned_codebooks(table):
    rows = stored(table, Codebooks(codes=2, bits=4, rounds=1, rotate=True))
    return FlatIndex(rows), rows


def flat_of_low_rank(table):
    rows = stored(table, LowRank(rank=1))
    return FlatIndex(rows), rows


def fast_scan(table):
    """Of 512 items or fewer it scores all: a shortlist of 64 is more than an eighth of them."""
    return FastScanIndex(FloatRows(table)), FloatRows(table)


def fast_scan_of_int8(table):
    return FastScanIndex(int8_rows(table)), int8_rows(table)


KINDS = [
    flat,
    flat_of_float16,
    flat_of_int8,
    flat_of_int4,
    flat_of_codebooks,
    flat_of_turned_codebooks,
    flat_of_low_rank,
    fast_scan,
    fast_scan_of_int8,
]
"""Each makes an index of a table, and the rows that it should answer from."""


def plainest(rows, vectors, k, exclude=None, allow=None):
    """Row numbers and scores [B, k], one product at a time."""
    items = np.full((len(vectors), k), -1)
    scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
    for row, vector in enumerate(vectors):
        left_out = set() if exclude is None else set(np.asarray(exclude[row]).tolist())
        allowed = range(rows.n_items) if allow is None else np.arange(rows.n_items)[allow].tolist()
        wanted = np.array(sorted(set(allowed) - left_out), dtype=np.int64)
        alone = [rows.scores(wanted[i : i + 1], vector)[0] for i in range(len(wanted))]
        found = sorted((-float(score), i) for score, i in zip(alone, wanted.tolist(), strict=True))[:k]
        items[row, : len(found)] = [i for _, i in found]
        scores[row, : len(found)] = [-s for s, _ in found]
    return items, scores


def assert_answers(index, rows, vectors, k, **limits):
    items, scores = index.search(vectors, k, **limits)
    expected, expected_scores = plainest(rows, vectors, k, **limits)
    np.testing.assert_array_equal(items, expected)
    np.testing.assert_array_equal(scores, expected_scores)
    assert (items.dtype, scores.dtype) == (np.int64, np.float32)


def made_up(n_items, width=8, count=3, seed=0):
    """Vectors [count, width] and a table in which many rows are equal, as in a catalogue of near-copies."""
    draw = np.random.default_rng(seed)
    table = draw.standard_normal((n_items, width)).astype(np.float32)
    table = table[draw.integers(0, n_items, n_items)] if n_items else table
    return draw.standard_normal((count, width)).astype(np.float32), table


def by_name(make):
    return make.__name__


@pytest.fixture(params=KINDS, ids=by_name)
def make(request):
    """Makes an index of one kind, and the rows it answers from."""
    return request.param


@pytest.mark.parametrize("make", KINDS, ids=by_name)
@settings(max_examples=20)
@given(data=st.data())
def test_the_answer_is_that_of_all_products_in_order(make, data):
    n_items, k, count = (data.draw(st.integers(1, most)) for most in (300, 320, 4))
    vectors, table = made_up(n_items, count=count, width=data.draw(st.sampled_from([2, 8, 16])), seed=n_items)
    some = st.lists(st.integers(0, n_items - 1), max_size=40)
    exclude = data.draw(st.none() | st.lists(some, min_size=count, max_size=count))
    allow = data.draw(st.none() | some)
    assert_answers(*make(table), vectors, k, exclude=exclude, allow=allow)


@pytest.mark.parametrize("allowed", [0, 3, 40, 1000, 2000])
def test_a_mask_and_row_numbers_allow_the_same(make, allowed):
    """From few allowed items, whose vectors are collected, to all of them, which are hidden where not allowed."""
    vectors, table = made_up(2000)
    rows = np.random.default_rng(1).choice(2000, allowed, replace=False)
    mask = np.isin(np.arange(2000), rows)
    index, expected = make(table)
    exclude = [rows[:5], [], np.arange(1990)]
    assert_answers(index, expected, vectors, 10, exclude=exclude, allow=rows)
    np.testing.assert_array_equal(
        index.search(vectors, 10, exclude=exclude, allow=mask)[0],
        index.search(vectors, 10, exclude=exclude, allow=rows)[0],
    )


def test_the_best_are_excluded_and_the_next_best_take_their_places(make):
    vectors, table = made_up(500, count=2)
    index, rows = make(table)
    best = plainest(rows, vectors, 30)[0]
    items, _ = index.search(vectors, 10, exclude=[best[0, :20], best[1, :20]])
    np.testing.assert_array_equal(items, best[:, 20:])


def test_equal_items_come_by_row_number(make):
    items, scores = make(np.ones((700, 4), dtype=np.float32))[0].search(np.ones((2, 4), dtype=np.float32), 5)
    assert items.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert len(np.unique(scores)) == 1


def test_a_vector_of_zeros_gives_the_first_items(make):
    _, table = made_up(600)
    assert make(table)[0].search(np.zeros((1, 8), dtype=np.float32), 3)[0].tolist() == [[0, 1, 2]]


def test_a_row_of_zeros_scores_zero(make):
    table = np.zeros((3, 4), dtype=np.float32)
    table[1] = -1
    items, scores = make(table)[0].search(np.ones((1, 4), dtype=np.float32), 2)
    assert (items.tolist(), scores.tolist()) == ([[0, 2]], [[0, 0]])


def test_more_than_there_is_ends_in_minus_one_and_minus_infinity(make):
    index, _ = make(np.array([[1.0, 0], [3, 0], [2, 0]], dtype=np.float32))
    items, scores = index.search(np.array([[1.0, 0]], dtype=np.float32), 4, exclude=[[1]])
    assert items.tolist() == [[2, 0, -1, -1]]
    assert scores[0, 2:].tolist() == [-np.inf, -np.inf]
    np.testing.assert_allclose(scores[0, :2], [2, 1], rtol=0.01)


def test_a_vector_is_answered_alone_as_among_others(make):
    vectors, table = made_up(2000, count=40)
    index, _ = make(table)
    together = index.search(vectors, 7)
    alone = [index.search(vectors[row : row + 1], 7) for row in range(40)]
    np.testing.assert_array_equal(together[0], np.concatenate([items for items, _ in alone]))
    np.testing.assert_array_equal(together[1], np.concatenate([scores for _, scores in alone]))


def test_no_vectors_give_no_rows(make):
    items, scores = make(made_up(20)[1])[0].search(np.empty((0, 8), dtype=np.float32), 3)
    assert (items.shape, scores.shape) == ((0, 3), (0, 3))


def test_threads_share_an_index(make):
    vectors, table = made_up(1500, count=30)
    index, _ = make(table)
    expected = [index.search(vectors[row : row + 1], 9)[0].tolist() for row in range(30)]
    found = {}

    def ask(thread):
        found[thread] = [index.search(vectors[row : row + 1], 9)[0].tolist() for row in range(30)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(4)] == [expected] * 4


def test_an_index_tells_its_shape_and_bytes(make):
    index, rows = make(made_up(100)[1])
    assert (index.n_items, index.width) == (100, 8)
    assert index.nbytes >= rows.nbytes > 0


def test_double_precision_vectors_and_numpy_numbers_are_fine(make):
    vectors, table = made_up(50)
    index, _ = make(table)
    np.testing.assert_array_equal(index.search(vectors.astype(np.float64), np.int64(4))[0], index.search(vectors, 4)[0])


WRONG = {
    "width": ({"vectors": np.ones((2, 7), "f")}, r"vectors have shape \(2, 7\); expected \(B, 8\)"),
    "one vector": ({"vectors": np.ones(8, "f")}, r"vectors have shape \(8,\); expected \(B, 8\)"),
    "whole numbers": ({"vectors": np.ones((2, 8), int)}, "vectors are int64; expected floating point numbers"),
    "nan": (
        {"vectors": np.array([[1.0] * 8, [np.nan] * 8], "f")},
        r"vector 1 holds NaN, infinity or a number beyond 1e\+15",
    ),
    "infinity": ({"vectors": np.array([[np.inf] * 8], "f")}, "vector 0 holds .*infinity"),
    "huge": ({"vectors": np.array([[-1e16] * 8], "f")}, r"vector 0 holds .*beyond 1e\+15"),
    "none": ({"k": 0}, "k is 0; expected a whole number from 1"),
    "half": ({"k": 1.5}, "k is 1.5; expected a whole number from 1"),
    "truth": ({"k": True}, "k is True; expected a whole number from 1"),
    "a list each": ({"exclude": [[1]]}, "exclude has 1 lists for 2 vectors; expected one for each"),
    "beyond": ({"exclude": [[], [3, 20]]}, r"exclude\[1\] names item 20; the catalogue has rows 0 to 19"),
    "before": ({"exclude": [[-1], []]}, r"exclude\[0\] names item -1; the catalogue has rows 0 to 19"),
    "ids": ({"exclude": [["a"], []]}, r"exclude\[0\] is <U1 of shape \(1,\); expected a list of row numbers of items"),
    "allow beyond": ({"allow": [25]}, "allow names item 25; the catalogue has rows 0 to 19"),
    "mask": ({"allow": np.ones(21, bool)}, r"allow has shape \(21,\); expected a boolean for each of 20 items"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused_in_words(make, name):
    changed, message = WRONG[name]
    asked = {"vectors": np.ones((2, 8), dtype=np.float32), "k": 3, **changed}
    with pytest.raises(SettingsError, match=message):
        make(made_up(20)[1])[0].search(asked.pop("vectors"), asked.pop("k"), **asked)
