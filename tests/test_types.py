"""The plain things that stages hand to one another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilrec.types import Batch, Cases, Ragged, Scorer, ranges

ROWS = st.lists(st.lists(st.integers(0, 2**40), max_size=5), max_size=8)


@given(rows=ROWS)
def test_ragged_rows_come_back_as_they_went_in(rows):
    ragged = Ragged.of(rows)
    assert [row.tolist() for row in ragged] == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    assert len(ragged) == len(rows)
    assert (ragged.values.dtype, ragged.offsets.dtype) == (np.int64, np.int64)


@given(rows=ROWS.filter(len), data=st.data())
def test_taking_rows_is_choosing_from_the_list(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    taken = Ragged.of(rows).take(np.array(chosen, dtype=np.int64))
    assert [row.tolist() for row in taken] == [rows[row] for row in chosen]


def test_rows_between_two_are_those_rows():
    rows = Ragged.of([[1, 2], [], [3], [4, 5, 6]])
    assert [row.tolist() for row in rows.between(1, 3)] == [[], [3]]
    assert [row.tolist() for row in rows.between(2, 9)] == [[3], [4, 5, 6]]
    assert len(rows.between(1, 1)) == 0


def test_a_row_from_the_end_or_too_far_is_as_in_a_list():
    ragged = Ragged.of([[1, 2], [3]])
    assert ragged[-1].tolist() == [3]
    with pytest.raises(IndexError):
        ragged[2]


def test_a_batch_is_padded_on_the_right_to_its_longest_history():
    batch = Batch.of([[5, 6, 7], [8]])
    assert batch.items.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.lengths.tolist() == [3, 1]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert len(batch) == 2


def test_a_long_history_keeps_its_newest_items():
    assert Batch.of([[1, 2, 3], [4]], max_length=2).items.tolist() == [[2, 3], [4, 0]]


def test_an_empty_history_still_has_a_column_to_stand_in():
    batch = Batch.of([[]])
    assert batch.items.tolist() == [[0]]
    assert batch.mask.tolist() == [[False]]


@given(rows=ROWS, max_length=st.integers(1, 4))
def test_the_real_positions_of_a_batch_are_the_newest_items_in_order(rows, max_length):
    batch = Batch.of(rows, max_length=max_length)
    assert batch.items[batch.mask].tolist() == [item for row in rows for item in row[-max_length:]]


def test_cases_are_counted_by_their_users():
    cases = Cases(np.array([4, 2]), histories=Ragged.of([[1], []]), relevant=Ragged.of([[2], [3]]))
    assert len(cases) == 2


def test_anything_with_items_and_scores_is_a_scorer():
    class Zeros:
        n_items = 2

        def scores(self, batch: Batch) -> np.ndarray:
            return np.zeros((len(batch), 2), dtype=np.float32)

    assert isinstance(Zeros(), Scorer)
    assert not isinstance(object(), Scorer)


def test_ranges_are_laid_end_to_end_and_may_be_empty():
    assert ranges(np.array([5, 9, 0]), np.array([2, 0, 3])).tolist() == [5, 6, 0, 1, 2]
