import numpy as np

from distilrec.models import cooccurrence
from distilrec.models.cooccurrence import cooccurrence_blocks, users_of_items
from distilrec.types import Ragged

SEQUENCES = Ragged.of([[2, 1, 2], [1, 0], [], [2, 1]])
COMMON = [[1, 1, 0, 0], [1, 3, 2, 0], [0, 2, 2, 0], [0, 0, 0, 0]]


def test_it_counts_the_users_that_two_items_share():
    ((rows, block),) = cooccurrence_blocks(SEQUENCES, 4)
    assert rows == slice(0, 4)
    assert block.toarray().tolist() == COMMON


def test_blocks_joined_are_the_whole_matrix(monkeypatch):
    monkeypatch.setattr(cooccurrence, "_BLOCK_NUMBERS", 4 * 3)  # three rows of four at a time
    blocks = list(cooccurrence_blocks(SEQUENCES, 4))
    assert [rows for rows, _ in blocks] == [slice(0, 3), slice(3, 4)]
    assert np.concatenate([block.toarray() for _, block in blocks]).tolist() == COMMON


def test_the_diagonal_is_the_number_of_users_of_each_item():
    assert users_of_items(SEQUENCES, 4).tolist() == [1, 3, 2, 0]


def test_the_sequences_stay_as_they_were():
    # scipy sorts and merges in place, which would turn histories out of their order in time
    sequences = Ragged.of([[2, 1, 2], [1, 0]])
    list(cooccurrence_blocks(sequences, 3))
    assert [row.tolist() for row in sequences] == [[2, 1, 2], [1, 0]]
