import numpy as np
import pytest

from distilrec.errors import SettingsError
from distilrec.evaluate.novelty import average_popularity, hits, novelty, popularity_lift, serendipity, share_of_new
from distilrec.types import Ragged

COUNTS = np.array([8, 4, 2, 0])
LISTS = np.array([[0, 1], [3, -1], [-1, -1]])


def test_popularity_is_the_mean_over_what_is_shown():
    assert average_popularity(LISTS, COUNTS).tolist() == [6, 0, 0]


def test_the_lift_compares_with_the_users_own_history():
    histories = Ragged.of([[1, 2], [0], [0]])  # 3 on average, 8, 8
    assert popularity_lift(LISTS, histories, COUNTS).tolist() == [6 / 3 - 1, -1, -1]


def test_who_has_no_history_is_compared_with_the_average_event():
    average = (8 * 8 + 4 * 4 + 2 * 2) / 14
    assert popularity_lift(np.array([[1]]), Ragged.of([[]]), COUNTS).tolist() == [pytest.approx(4 / average - 1)]


def test_a_history_of_items_that_nobody_chose_in_training_has_no_endless_lift():
    average = (8 * 8 + 4 * 4 + 2 * 2) / 14
    assert popularity_lift(np.array([[1]]), Ragged.of([[3, 3]]), COUNTS).tolist() == [pytest.approx(4 / average - 1)]


def test_novelty_is_the_bits_of_the_share_of_users():
    # of 8 users all chose item 0 (0 bits), half item 1 (1 bit); item 3 counts as chosen by one (3 bits)
    assert novelty(LISTS, COUNTS, 8).tolist() == [1 / 2, 3, 0]


def test_more_events_than_users_are_no_negative_novelty():
    assert novelty(np.array([[0]]), COUNTS, 5).tolist() == [0]


def test_new_items_are_those_that_nobody_or_few_chose():
    lists = np.array([[0, 3], [2, 3]])
    assert share_of_new(lists, COUNTS).tolist() == [1 / 2, 1 / 2]
    assert share_of_new(lists, COUNTS, most=2).tolist() == [1 / 2, 1]


def test_serendipity_counts_hits_by_how_far_they_stand_above_their_popularity():
    """Item 2 is third by popularity and shown first: (3 - 1) / 4, over two places. Item 0 is where all expect it."""
    lists = np.array([[2, 1], [0, 1], [3, 1]])
    assert serendipity(lists, Ragged.of([[2], [0], [3]]), COUNTS).tolist() == [2 / 4 / 2, 0, 4 / 4 / 2]
    assert serendipity(lists, Ragged.of([[0], [2], [0]]), COUNTS).tolist() == [0, 0, 0]


def test_equally_popular_items_share_a_place_and_the_next_has_the_next():
    """Counts 8, 4, 4, 2: item 3 is third among the different popularities, and is shown first: (3 - 1) / 4."""
    assert serendipity(np.array([[3]]), Ragged.of([[3]]), np.array([8, 4, 4, 2])).tolist() == [2 / 4]


def test_hits_belong_to_their_own_case():
    assert hits(np.array([[0, 1], [0, -1]]), Ragged.of([[1], [1, 2]])).tolist() == [[False, True], [False, False]]


def test_no_users_are_refused():
    with pytest.raises(SettingsError, match="n_users is 0; expected the number of users in training"):
        novelty(LISTS, COUNTS, 0)
