"""What a step of training draws: positions, targets, items like them, and how likely each was to be drawn."""

import numpy as np
import pytest
import torch

from distilrec.errors import SettingsError
from distilrec.models.text_sampling import Sampler, nearest_items

RING = np.array([[(item - 1) % 6, (item + 1) % 6] for item in range(6)])
ALLOWED = np.array([[True, True, True], [False, True, False], [False, False, False]])


def make(*, positions=1, hard_negatives=1, neighbours=RING, counts=None):
    counts = None if counts is None else np.array(counts)
    return Sampler(positions=positions, hard_negatives=hard_negatives, neighbours=neighbours, counts=counts)


def drawn(sampler, seed):
    torch.manual_seed(seed)
    rows, places = sampler.draw_positions(ALLOWED)
    return list(zip(rows.tolist(), places.tolist(), strict=True))


def test_one_position_of_each_history_that_has_an_allowed_one():
    draws = [drawn(make(), seed) for seed in range(20)]
    assert {draw[0] for draw in draws} == {(0, 0), (0, 1), (0, 2)}
    assert {tuple(draw[1:]) for draw in draws} == {((1, 1),)}


def test_several_positions_are_different_ones_and_no_more_than_there_are():
    for seed in range(5):
        first = sorted(place for row, place in drawn(make(positions=2), seed) if row == 0)
        assert first in ([0, 1], [0, 2], [1, 2])
    assert sorted(drawn(make(positions=9), 0)) == [(0, 0), (0, 1), (0, 2), (1, 1)]


def test_the_seed_of_torch_alone_decides():
    assert drawn(make(), 3) == drawn(make(), 3)
    assert any(drawn(make(), 3) != drawn(make(), seed) for seed in range(9))


def test_nothing_allowed_draws_nothing():
    rows, places = make().draw_positions(np.zeros((2, 3), bool))
    assert (len(rows), len(places)) == (0, 0)
    candidates, targets = make().draw_candidates(torch.zeros(0, dtype=torch.int64))
    assert (len(candidates), len(targets)) == (0, 0)


def test_without_hard_negatives_the_targets_are_the_candidates_each_once():
    candidates, targets = make(hard_negatives=0).draw_candidates(torch.tensor([5, 2, 5]))
    assert candidates.tolist() == [2, 5]
    assert targets.tolist() == [1, 0, 1]


def test_hard_negatives_are_neighbours_of_the_targets():
    torch.manual_seed(0)
    others = set()
    for _ in range(20):
        candidates, targets = make().draw_candidates(torch.tensor([4, 4]))
        assert candidates[targets].tolist() == [4, 4]
        others |= set(candidates.tolist()) - {4}
        assert len(candidates) == 2
    assert others == {3, 5}


def test_how_likely_an_item_is_to_be_a_target():
    """Counts of 0 and 2 are 1 and 3 with one more each: shares of a quarter and three quarters."""
    sampler = make(hard_negatives=0, neighbours=np.array([[1], [0]]), counts=[0, 2])
    chances = sampler.log_chances(torch.tensor([1, 0]), positions=2).exp()
    np.testing.assert_allclose(chances, 1 - np.exp([-2 * 3 / 4, -2 * 1 / 4]), rtol=1e-6)


def test_a_hard_negative_is_as_likely_as_the_targets_that_it_is_near_to():
    """Item 2 is one of two neighbours of items 0 and 1, whose shares are 1/4 and 1/2, and has itself 1/4."""
    near = np.array([[1, 2], [0, 2], [0, 1]])
    chances = make(neighbours=near, counts=[0, 1, 0]).log_chances(torch.tensor([2]), positions=1).exp()
    np.testing.assert_allclose(chances, [1 - np.exp(-(1 / 4 + (1 / 4 + 1 / 2) / 2))], rtol=1e-6)


def test_without_counts_no_chance_is_known():
    assert make().log_chances(torch.tensor([1]), positions=1) is None


def test_the_nearest_items_come_best_first_and_without_the_item_itself():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    assert nearest_items(vectors, 2).tolist() == [[2, 1], [2, 0], [0, 1]]
    assert nearest_items(vectors, 1).tolist() == [[2], [2], [0]]
    assert nearest_items(vectors, 9).shape == (3, 2)


def test_hard_negatives_of_a_single_item_are_refused():
    with pytest.raises(SettingsError, match="hard_negatives is 1, but items have no neighbours; set it to 0"):
        make(neighbours=nearest_items(torch.ones(1, 2), 5))
