"""Windows ask for every item but a sequence's first exactly once, and batches hold windows of similar length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilrec.data.batches import Windows, in_order, plan_batches
from distilrec.errors import DataError, SettingsError
from distilrec.types import Ragged

lengths = st.lists(st.integers(0, 14), min_size=1, max_size=6).filter(lambda found: max(found) >= 2)


def pieces(*sequences, max_length):
    return [piece.tolist() for piece in Windows.cut(Ragged.of(sequences), max_length=max_length).pieces]


def test_a_short_sequence_is_one_window():
    assert pieces([4, 5, 6], max_length=2) == [[4, 5, 6]]  # two positions: 4 -> 5 and 5 -> 6


def test_a_long_sequence_is_cut_from_its_newest_end_and_neighbours_share_one_item():
    assert pieces([1, 2, 3, 4, 5, 6], max_length=2) == [[4, 5, 6], [2, 3, 4], [1, 2]]


def test_sequences_without_two_events_give_no_window():
    assert pieces([1], [], [2, 3], max_length=5) == [[2, 3]]


@given(lengths, st.integers(1, 6))
def test_every_item_but_the_first_is_a_target_exactly_once(lengths, max_length):
    starts = np.cumsum([0, *lengths])  # every event is another item, so that each can be told
    sequences = [np.arange(starts[i], starts[i + 1]) for i in range(len(lengths))]
    windows = Windows.cut(Ragged.of(sequences), max_length=max_length)
    targets = np.concatenate([piece[1:] for piece in windows.pieces])
    assert sorted(targets) == sorted(int(item) for sequence in sequences for item in sequence[1:])
    assert windows.positions.max() <= max_length
    assert windows.positions.min() >= 1


def test_positions_are_one_fewer_than_items():
    windows = Windows.cut(Ragged.of([[1, 2, 3], [4, 5]]), max_length=9)
    assert windows.positions.tolist() == [2, 1]
    assert len(windows) == 2


def test_each_window_knows_its_sequence_and_how_much_of_it_lies_before():
    """Of the second sequence, 5 6 7 are the newest; 4 5 before them begin at its start."""
    windows = Windows.cut(Ragged.of([[9], [4, 5, 6, 7], [1, 2]]), max_length=2)
    assert [piece.tolist() for piece in windows.pieces] == [[5, 6, 7], [4, 5], [1, 2]]
    assert windows.owners.tolist() == [1, 1, 2]
    assert windows.begins.tolist() == [1, 0, 0]


@given(lengths, st.integers(1, 6))
def test_a_window_is_found_again_in_its_sequence(lengths, max_length):
    sequences = Ragged.of([np.random.default_rng(length).integers(0, 9, length) for length in lengths])
    windows = Windows.cut(sequences, max_length=max_length)
    for piece, owner, begin in zip(windows.pieces, windows.owners, windows.begins, strict=True):
        assert piece.tolist() == sequences[owner][begin : begin + len(piece)].tolist()


def test_a_batch_is_padded_on_the_right_and_its_targets_are_the_items_moved_by_one():
    windows = Windows.cut(Ragged.of([[1, 2, 3], [4, 5], [6, 7, 8, 9]]), max_length=9)
    batch = windows.batch(np.array([1, 0]))
    assert batch.items.tolist() == [[4, 0], [1, 2]]
    assert batch.targets.tolist() == [[5, -1], [2, 3]]
    assert batch.lengths.tolist() == [1, 2]
    assert batch.rows.tolist() == [1, 0]
    assert batch.mask.tolist() == [[True, False], [True, True]]


def test_a_batch_without_windows_is_empty():
    """With more processes than windows in the last batch, some get none."""
    batch = Windows.cut(Ragged.of([[1, 2]]), max_length=1).batch(np.zeros(0, dtype=np.int64))
    assert len(batch) == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=200), st.integers(1, 7), st.integers(0, 3))
def test_a_plan_holds_every_row_once_in_as_few_batches_as_there_can_be(lengths, batch_size, seed):
    plan = plan_batches(np.array(lengths), batch_size=batch_size, generator=np.random.default_rng(seed))
    assert sorted(np.concatenate(plan)) == list(range(len(lengths)))
    assert len(plan) == -(-len(lengths) // batch_size)
    assert min(map(len, plan)) >= 1


def test_a_batch_holds_many_short_windows_or_few_long_ones():
    """Six windows of 1 and two of 3 make two batches of 6 positions; the usual four and four would make 4 and 8."""
    lengths = np.array([1, 3, 1, 1, 1, 3, 1, 1])
    plan = plan_batches(lengths, batch_size=4, generator=np.random.default_rng(0))
    assert sorted(lengths[rows].tolist() for rows in plan) == [[1] * 6, [3, 3]]


def test_a_position_weighs_the_same_in_whatever_window_it_is():
    lengths = np.random.default_rng(0).geometric(0.1, size=4000).clip(1, 50)
    plan = plan_batches(lengths, batch_size=64, generator=np.random.default_rng(0))
    positions = np.array([lengths[rows].sum() for rows in plan])
    assert positions.std() < 0.1 * positions.mean()


def test_the_same_generator_gives_the_same_plan_and_another_one_another():
    lengths = np.random.default_rng(0).integers(1, 50, size=100)
    plans = [
        [rows.tolist() for rows in plan_batches(lengths, batch_size=8, generator=np.random.default_rng(seed))]
        for seed in (1, 1, 2)
    ]
    assert plans[0] == plans[1] != plans[2]


def padding_share(lengths, plan):
    cells = sum(len(rows) * lengths[rows].max() for rows in plan)
    return 1 - lengths.sum() / cells


def test_windows_of_similar_length_meet_so_that_little_is_padded():
    draw = np.random.default_rng(0)
    lengths = draw.geometric(0.1, size=4000).clip(1, 50)
    at_random = np.array_split(draw.permutation(len(lengths)), len(lengths) // 64)
    planned = plan_batches(lengths, batch_size=64, generator=np.random.default_rng(0))
    assert padding_share(lengths, at_random) > 0.6
    assert padding_share(lengths, planned) < 0.1


def test_which_windows_meet_changes_from_one_draw_to_the_next():
    lengths, draw = np.full(400, 5), np.random.default_rng(0)
    first, second = (
        {frozenset(rows.tolist()) for rows in plan_batches(lengths, batch_size=4, generator=draw)} for _ in range(2)
    )
    assert not first & second


def test_in_order_goes_from_short_to_long():
    assert [rows.tolist() for rows in in_order(np.array([3, 1, 2]), batch_size=2)] == [[1, 2], [0]]


def test_the_digest_tells_contents_and_cuts_apart():
    same = [Windows.cut(Ragged.of([[1, 2, 3]]), max_length=2).digest() for _ in range(2)]
    others = [
        Windows.cut(Ragged.of([[1, 2, 4]]), max_length=2).digest(),
        Windows.cut(Ragged.of([[1, 2, 3]]), max_length=1).digest(),
    ]
    assert same[0] == same[1]
    assert len({same[0], *others}) == 3


def test_single_events_teach_nothing():
    with pytest.raises(DataError, match="no training sequence has two events; nothing can be learnt"):
        Windows.cut(Ragged.of([[1], [2]]), max_length=5)


def test_a_window_without_positions_is_refused():
    with pytest.raises(SettingsError, match="max_length is 0; expected at least 1"):
        Windows.cut(Ragged.of([[1, 2]]), max_length=0)
