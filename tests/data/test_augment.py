"""Changed histories, of which it is known what every position still stands for."""

import numpy as np
import pytest

from distilrec.config import parse
from distilrec.data.augment import AugmentSettings, augment, neighbours_by_similarity
from distilrec.data.batches import Windows
from distilrec.errors import DataError, SettingsError
from distilrec.types import Batch, Ragged

TENS = np.arange(200)[:, None] // 10 * 10 + np.arange(10)  # items of the same ten are alike, and themselves too
EVERYTHING = {"crop": 0.5, "mask": 0.5, "reorder": 0.5, "substitute": 0.5, "insert": 0.5}


def batch_of(*sequences):
    windows = Windows.cut(Ragged.of(sequences), max_length=50)
    return windows.batch(np.arange(len(windows)))


def changed(*sequences, seed=0, max_length=50, **settings):
    return augment(
        batch_of(*sequences), AugmentSettings(**settings), np.random.default_rng(seed), TENS, max_length=max_length
    )


def told(augmented):
    """Items, targets and positions of the only history."""
    assert len(augmented.batch) == 1
    return augmented.batch.items[0].tolist(), augmented.batch.targets[0].tolist(), augmented.positions.tolist()


def random_batch(seed):
    """Histories of 1 to 12 positions; item 10 * n of the window's n-th place, so that no two of a window are alike."""
    draw = np.random.default_rng(seed)
    return batch_of(*(10 * np.arange(length) for length in draw.integers(2, 14, size=20)))


def test_without_any_operation_a_batch_stays_as_it_is():
    batch = batch_of([1, 2, 3], [4, 5])
    augmented = augment(batch, AugmentSettings(), np.random.default_rng(0), max_length=50)
    assert augmented.batch.items.tolist() == batch.items.tolist()
    assert augmented.batch.targets.tolist() == batch.targets.tolist()
    assert augmented.batch.lengths.tolist() == [2, 1]
    assert augmented.positions.tolist() == [0, 1, 2]


def test_a_crop_keeps_a_part_in_a_row_and_its_targets():
    found = {str(told(changed([10, 20, 30, 40, 50], crop=1, crop_share=0.5, seed=seed))) for seed in range(50)}
    assert found == {
        "([10, 20], [20, 30], [0, 1])",
        "([20, 30], [30, 40], [1, 2])",
        "([30, 40], [40, 50], [2, 3])",
    }


def test_a_masked_item_is_gone_with_its_prediction_and_stays_a_target():
    """Of 10 20 30 with targets 20 30 40, one item goes."""
    found = {str(told(changed([10, 20, 30, 40], mask=1, mask_share=1 / 3, seed=seed))) for seed in range(50)}
    assert found == {
        "([20, 30], [30, 40], [1, 2])",
        "([10, 30], [20, 40], [0, 2])",
        "([10, 20], [20, 30], [0, 1])",
    }


def test_a_reordered_position_predicts_on_where_the_same_items_were_read():
    """10 20 | 30 is shuffled as a whole: after 20 10 the same two items were read; after 30 10 they were not."""
    found = {str(told(changed([10, 20, 30, 40], reorder=1, reorder_share=1, seed=seed))) for seed in range(50)}
    assert found == {
        "([10, 20, 30], [20, 30, 40], [0, 1, 2])",
        "([20, 10, 30], [-1, 30, 40], [-1, 1, 2])",
        "([10, 30, 20], [20, -1, 40], [0, -1, 2])",
        "([20, 30, 10], [-1, -1, 40], [-1, -1, 2])",
        "([30, 10, 20], [-1, -1, 40], [-1, -1, 2])",
        "([30, 20, 10], [-1, -1, 40], [-1, -1, 2])",
    }


def test_only_a_stretch_is_reordered():
    found = {str(told(changed([10, 20, 30, 40, 50], reorder=1, reorder_share=0.5, seed=seed))[0]) for seed in range(60)}
    assert found == {"[10, 20, 30, 40]", "[20, 10, 30, 40]", "[10, 30, 20, 40]", "[10, 20, 40, 30]"}


def test_a_substituted_item_is_a_similar_one_and_everything_is_predicted_as_before():
    for seed in range(20):
        items, targets, positions = told(changed([10, 20, 30], substitute=1, substitute_share=1, seed=seed))
        assert (targets, positions) == ([20, 30], [0, 1])
        assert [item // 10 for item in items] == [1, 2]
        if seed == 0:
            assert items != [10, 20]


def test_an_inserted_item_stands_before_one_that_it_is_like_and_predicts_nothing():
    found = [told(changed([10, 20, 30], insert=1, insert_share=0.5, seed=seed)) for seed in range(50)]
    shapes = {str(([item // 10 for item in items], targets, positions)) for items, targets, positions in found}
    assert shapes == {
        "([1, 1, 2], [-1, 20, 30], [-1, 0, 1])",
        "([1, 2, 2], [20, -1, 30], [0, -1, 1])",
        "([1, 2], [20, 30], [0, 1])",  # where the item itself was drawn
    }


@pytest.mark.parametrize("operation", ["substitute", "insert"])
def test_no_item_of_the_window_is_put_in(operation):
    """11 is all that 10 is like, and it is what is to be predicted."""
    neighbours = np.full((12, 1), 11)
    settings = AugmentSettings(**{operation: 1, f"{operation}_share": 1})
    augmented = augment(batch_of([10, 11]), settings, np.random.default_rng(0), neighbours, max_length=50)
    assert told(augmented) == ([10], [11], [0])


def test_a_padded_cell_keeps_no_item_out():
    """The second history is padded, which looks like item 0; 5 may still become 0."""
    settings = AugmentSettings(substitute=1, substitute_share=1)
    batch = batch_of([7, 8, 9, 6], [5, 9])
    augmented = augment(batch, settings, np.random.default_rng(0), np.zeros((10, 1), np.int64), max_length=50)
    assert augmented.batch.items[1, 0] == 0


def test_a_history_that_becomes_too_long_loses_its_oldest_items():
    items, targets, positions = told(changed([10, 20, 30, 40], insert=1, insert_share=1, max_length=3, seed=1))
    assert ([item // 10 for item in items], targets, positions) == ([2, 3, 3], [30, -1, 40], [1, -1, 2])


def test_a_share_is_right_on_average_for_short_histories_too():
    """A third of two items is no whole number: two of three histories lose one."""
    kept = changed(*[[10, 20, 30]] * 3000, mask=1, mask_share=1 / 3).batch.lengths
    assert set(kept.tolist()) == {1, 2}
    assert kept.mean() == pytest.approx(2 - 2 / 3, abs=0.03)


def test_a_history_is_changed_with_the_probability_given():
    kept = changed(*[[10, 20, 30]] * 3000, crop=0.25, crop_share=0.5).batch.lengths
    assert (kept == 1).mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("seed", range(30))
def test_every_position_predicts_what_it_did_and_has_read_nothing_newer(seed):
    """Items count up by tens, so a position's target is ten more than the newest it may have read."""
    batch = random_batch(seed)
    augmented = augment(batch, AugmentSettings(**EVERYTHING), np.random.default_rng(seed), TENS, max_length=9)
    new, positions, read = augmented.batch, augmented.positions, 0
    targets, original = new.targets[new.mask], batch.targets[batch.mask]
    assert len(positions) == new.lengths.sum()
    assert np.array_equal(targets >= 0, positions >= 0)
    assert np.array_equal(targets[positions >= 0], original[positions[positions >= 0]])
    owners, original_owners = (np.repeat(np.arange(len(batch)), lengths) for lengths in (new.lengths, batch.lengths))
    assert np.array_equal(owners[positions >= 0], original_owners[positions[positions >= 0]])
    for row, length in enumerate(new.lengths):
        mine = positions[read : read + length]
        newest_read = np.maximum.accumulate(new.items[row, :length] // 10)  # a similar item is of the same ten
        assert np.all(newest_read[mine >= 0] < new.targets[row, :length][mine >= 0] // 10)
        assert np.all(np.diff(mine[mine >= 0]) > 0)
        read += length


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("operation", [*EVERYTHING, None])
def test_histories_are_never_empty_never_too_long_and_their_newest_position_predicts(seed, operation):
    settings = AugmentSettings(**({operation: 1, f"{operation}_share": 0.99} if operation else EVERYTHING))
    new = augment(random_batch(seed), settings, np.random.default_rng(seed), TENS, max_length=6).batch
    assert new.lengths.min() >= 1
    assert new.lengths.max() == new.items.shape[1] <= 6
    assert np.all(new.targets[np.arange(len(new)), new.lengths - 1] >= 0)
    assert np.all(new.items[~new.mask] == 0)
    assert np.all(new.targets[~new.mask] == -1)


def test_the_original_is_left_alone():
    batch = random_batch(0)
    before = batch.items.copy(), batch.targets.copy()
    augment(batch, AugmentSettings(**EVERYTHING), np.random.default_rng(0), TENS, max_length=9)
    assert np.array_equal(batch.items, before[0])
    assert np.array_equal(batch.targets, before[1])


def test_the_same_generator_gives_the_same_and_another_one_another():
    first, same, other = (
        augment(random_batch(0), AugmentSettings(**EVERYTHING), np.random.default_rng(seed), TENS, max_length=9)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first.batch.items, same.batch.items)
    assert np.array_equal(first.positions, same.positions)
    assert not np.array_equal(first.positions, other.positions)


@pytest.mark.parametrize("operation", EVERYTHING)
def test_every_probability_and_every_share_matters(operation):
    def items(probability, share):
        settings = {operation: probability, f"{operation}_share": share}
        return changed(*[10 * np.arange(9)] * 20, **settings).batch.items.tolist()

    assert len({str(items(*setting)) for setting in [(0.0, 0.3), (0.5, 0.3), (1.0, 0.3), (1.0, 0.8)]}) == 4


def test_a_batch_without_targets_has_positions_all_the_same():
    """Two changed views of a history can be compared without predicting anything."""
    augmented = augment(Batch.of([[10, 20, 30]]), AugmentSettings(mask=1), np.random.default_rng(0), TENS, max_length=9)
    assert augmented.batch.targets is None
    assert len(augmented.positions) == augmented.batch.lengths[0]


def test_a_changed_batch_can_not_be_taken_for_its_training_windows():
    assert batch_of([1, 2]).rows is not None
    assert changed([1, 2]).batch.rows is None


@pytest.mark.parametrize("histories", [[], [[]], [[], [10, 20]]])
def test_what_is_empty_stays_empty(histories):
    settings = AugmentSettings(**dict.fromkeys(EVERYTHING, 1.0))
    augmented = augment(Batch.of(histories), settings, np.random.default_rng(0), TENS, max_length=9)
    assert (augmented.batch.lengths > 0).tolist() == [bool(history) for history in histories]


@pytest.mark.parametrize("operation", ["substitute", "insert"])
def test_similar_items_have_to_come_from_somewhere(operation):
    settings = AugmentSettings(**{operation: 0.1})
    message = f"to {operation}, similar items are needed, .*augment.neighbours_by_similarity, or set {operation} to 0"
    with pytest.raises(SettingsError, match=message):
        augment(batch_of([1, 2]), settings, np.random.default_rng(0), max_length=9)


@pytest.mark.parametrize("shape", [(7,), (7, 0), (5, 3)])
def test_every_item_has_neighbours(shape):
    with pytest.raises(SettingsError, match=r"expected \[N, k\] with a row for each .* at least 6 items"):
        augment(
            batch_of([5, 2]),
            AugmentSettings(insert=0.1),
            np.random.default_rng(0),
            np.zeros(shape, np.int64),
            max_length=9,
        )


def test_a_model_reads_at_least_one_item():
    with pytest.raises(SettingsError, match="max_length is 0; expected at least 1"):
        changed([1, 2], max_length=0)


@pytest.mark.parametrize("wrong", [{"crop": 1.1}, {"crop_share": 0}, {"mask": -0.1}, {"mask_share": 1}, {"insert": 2}])
def test_settings_out_of_range_are_refused(wrong):
    (field,) = wrong
    with pytest.raises(SettingsError, match=f"augment: {field}: "):
        parse(AugmentSettings, wrong, where="augment")


def test_neighbours_point_in_the_same_direction_and_the_nearest_comes_first():
    """Seen from the first item: the second lies 45 degrees away, the third 90, the fourth 180; lengths do not count."""
    vectors = np.array([[1, 0], [5, 5], [0, 1], [-9, 0]], np.float32)
    assert neighbours_by_similarity(vectors, 3)[0].tolist() == [1, 2, 3]
    assert neighbours_by_similarity(vectors, 1)[3].tolist() == [2]


def test_an_item_is_not_its_own_neighbour_and_chunks_do_not_matter():
    vectors = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    whole = neighbours_by_similarity(vectors, 5)
    assert not (whole == np.arange(30)[:, None]).any()
    assert np.array_equal(whole, neighbours_by_similarity(vectors, 5, chunk_items=7))


def test_an_item_without_a_direction_has_neighbours_too():
    vectors = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    assert sorted(neighbours_by_similarity(vectors, 2)[0].tolist()) == [1, 2]


@pytest.mark.parametrize("k", [0, 3])
def test_there_are_no_more_neighbours_than_other_items(k):
    with pytest.raises(SettingsError, match=f"{k} neighbours were asked for; expected 1 to 2 in a catalogue of 3"):
        neighbours_by_similarity(np.ones((3, 2), np.float32), k)


def test_damaged_item_vectors_are_refused():
    with pytest.raises(DataError, match="item vectors hold NaN or infinity"):
        neighbours_by_similarity(np.array([[1, np.nan], [0, 1]], np.float32), 1)
