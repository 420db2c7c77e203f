import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_evaluations import evaluation

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate import agreement as module
from distilrec.evaluate.agreement import Wins, agreement, divergence, kendall, overlap, rank_biased_overlap, wins
from distilrec.types import Cases, Ragged


def lists(*rows):
    return np.array(rows, dtype=np.int64)


SAME, TURNED, HALF, OTHER = lists([0, 1]), lists([1, 0]), lists([0, 2]), lists([2, 3])


def test_overlap_is_the_share_that_both_show():
    assert [overlap(SAME, other)[0] for other in (SAME, TURNED, HALF, OTHER)] == [1, 1, 1 / 2, 0]


def test_rank_biased_overlap_is_one_for_the_same_list_and_none_for_a_disjoint_one():
    assert rank_biased_overlap(SAME, SAME)[0] == pytest.approx(1)
    assert rank_biased_overlap(SAME, OTHER)[0] == 0


def test_rank_biased_overlap_of_two_that_are_turned_lacks_the_first_depth():
    # overlaps 0 and 1; the first depth weighs 1 - p, the second and all beyond p
    assert rank_biased_overlap(SAME, TURNED, persistence=0.6)[0] == pytest.approx(0.6)


def test_kendall_is_one_for_the_same_order_and_minus_one_for_disjoint_lists():
    assert kendall(SAME, SAME)[0] == 1
    assert kendall(SAME, OTHER)[0] == -1


def test_kendall_counts_pairs_by_the_table_of_fagin_kumar_and_sivakumar():
    # of at most 2^2 + 1 = 5: one pair turned; {0, 1} and {0, 2} agree, but 1 and 2 are each on one side alone
    assert kendall(SAME, TURNED)[0] == 1 - 2 * 1 / 5
    assert kendall(SAME, HALF)[0] == 1 - 2 * 1 / 5
    assert kendall(SAME, lists([2, 0]))[0] == 1 - 2 * 2 / 5  # 2 before 0 there, and behind it here; 1 and 2


def slow_kendall(a, b):
    """The four cases of the paper, pair by pair, with the penalty of 1/2."""
    everything, distance = sorted(set(a) | set(b)), 0.0
    for place, i in enumerate(everything):
        for j in everything[place + 1 :]:
            in_a, in_b = (i in a, j in a), (i in b, j in b)
            if (in_a == (True, True) and in_b == (False, False)) or (in_b == (True, True) and in_a == (False, False)):
                distance += 1 / 2
                continue
            rank = [[row.index(item) if item in row else len(row) for item in (i, j)] for row in (a, b)]
            distance += (rank[0][0] - rank[0][1]) * (rank[1][0] - rank[1][1]) < 0
    k = len(a)
    return 1 - 2 * distance / (k * k + k * (k - 1) / 2)


@given(st.permutations(range(7)), st.permutations(range(7)), st.integers(1, 5))
def test_kendall_agrees_with_the_paper_pair_by_pair(a, b, k):
    assert kendall(lists(a[:k]), lists(b[:k]))[0] == pytest.approx(slow_kendall(list(a[:k]), list(b[:k])))


def test_places_that_are_empty_on_both_sides_are_not_alike(monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    assert overlap(lists([0, -1], [0, 1]), lists([0, -1], [0, 1])).tolist() == [1 / 2, 1]


def test_the_columns_can_be_added_to_an_evaluation():
    frame = agreement(SAME, HALF)
    assert frame.columns == ["overlap@2", "rbo@2", "kendall@2"]
    assert evaluation([1]).with_columns(frame).mean("overlap@2") == 1 / 2


def test_lists_of_other_lengths_are_refused():
    with pytest.raises(
        DataError, match=r"lists have shapes \(1, 2\) and \(1, 1\); expected the same cases and the same"
    ):
        agreement(SAME, lists([0]))


@pytest.mark.parametrize("persistence", [0, 1])
def test_a_persistence_that_is_no_probability_is_refused(persistence):
    with pytest.raises(SettingsError, match=f"persistence is {persistence}; expected a probability between 0 and 1"):
        rank_biased_overlap(SAME, SAME, persistence=persistence)


def test_wins_count_users():
    assert wins(evaluation([1, 0, 0.5, 1]), evaluation([0, 1, 0.5, 0])) == Wins(better=2, level=1, worse=1)


class Fixed:
    """Gives every case the logarithms of the same shares."""

    def __init__(self, *shares):
        with np.errstate(divide="ignore"):
            self.row = np.log(np.array(shares, dtype=np.float32))
        self.n_items = len(shares)

    def scores(self, batch):
        return np.tile(self.row, (len(batch), 1))


CASES = Cases(np.arange(2), Ragged.of([[2], [2, 2]]), Ragged.of([[0], [1]]))


def test_a_copy_diverges_by_nothing_whatever_is_added_to_its_scores():
    assert divergence(Fixed(0.5, 0.25, 0.25), Fixed(2, 1, 1), CASES, quiet=True).tolist() == pytest.approx(
        [0, 0], abs=1e-6
    )


def test_divergence_is_that_of_the_shares_without_the_history():
    student, teacher = Fixed(0.2, 0.2, 0.6), Fixed(0.4, 0.4 / 3, 0.1)  # without item 2: 1/2 and 1/2; 3/4 and 1/4
    expected = 3 / 4 * np.log(3 / 2) + 1 / 4 * np.log(1 / 2)
    assert divergence(student, teacher, CASES, quiet=True).tolist() == pytest.approx([expected] * 2, rel=1e-5)
    whole = divergence(student, teacher, CASES, exclude_history=False, quiet=True)
    assert not np.allclose(whole, expected)


def test_a_high_temperature_makes_everything_alike():
    hot = divergence(Fixed(0.9, 0.1, 1), Fixed(0.1, 0.9, 1), CASES, temperature=1000.0, quiet=True)
    assert hot.max() < 1e-4


def test_scorers_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match="the student ranks 2 items and the teacher 3"):
        divergence(Fixed(0.5, 0.5), Fixed(1, 1, 1), CASES)
    with pytest.raises(SettingsError, match="temperature is 0; expected a number above 0"):
        divergence(Fixed(1, 1, 1), Fixed(1, 1, 1), CASES, temperature=0)
    with pytest.raises(
        DataError, match=r"the student rules out \(scores -infinity, or NaN\) what the teacher does not"
    ):
        divergence(Fixed(1, 0, 1), Fixed(1, 1, 1), CASES, quiet=True)
