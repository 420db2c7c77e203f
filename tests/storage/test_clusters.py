"""Books: k-means finds groups that are there, and a rotation finds columns that go together."""

import numpy as np
import pytest

from distilrec.storage import Codebooks, Float32
from distilrec.storage.clusters import assign, join, k_means, learn_rotation, nearest

GROUPS = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]], np.float32)


def error(form, table):
    return float(((form.decode(form.encode(table)) - table) ** 2).mean())


def test_the_nearest_centroid_is_found_and_of_equally_near_ones_the_first():
    assert nearest(np.array([[9, 1], [5, 0], [1, 8]], np.float32), GROUPS).tolist() == [1, 0, 2]


def test_the_nearest_is_the_same_however_many_points_are_asked_for_at_once():
    """More points than fit one piece of work."""
    points = np.random.default_rng(0).normal(size=(40_000, 2)).astype(np.float32)
    distances = ((points[-5:, None] - GROUPS) ** 2).sum(axis=2)
    assert nearest(points, GROUPS)[-5:].tolist() == distances.argmin(axis=1).tolist()


def test_groups_that_are_there_are_found():
    generator = np.random.default_rng(0)
    points = (GROUPS[generator.integers(4, size=400)] + generator.normal(size=(400, 2))).astype(np.float32)
    found = k_means(points, 4, np.random.default_rng(0), rounds=50, start=GROUPS + np.float32(2))
    np.testing.assert_allclose(found, GROUPS, atol=0.5)


def test_few_different_points_are_the_centroids_themselves():
    points = np.repeat(GROUPS, 5, axis=0)
    found = k_means(points, 6, np.random.default_rng(0), rounds=5)
    assert {tuple(row) for row in found.tolist()} == {tuple(row) for row in GROUPS.tolist()}


def test_a_centroid_that_loses_its_points_becomes_one_of_the_fullest():
    """Two of three begin far outside, where no point is nearest to them."""
    points = np.arange(12, dtype=np.float32)[:, None]
    start = np.array([[5.5], [1e6], [-1e6]], np.float32)
    found = k_means(points, 3, np.random.default_rng(0), rounds=20, start=start)
    assert np.abs(found).max() <= 11
    assert len(np.unique(nearest(points, found))) == 3


def test_more_books_and_more_entries_make_less_error():
    table = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    by_books = [error(Codebooks(codes=m, bits=4), table) for m in (1, 2, 4, 8)]
    assert by_books == sorted(by_books, reverse=True)
    assert error(Codebooks(codes=2, bits=8), table) < error(Codebooks(codes=2, bits=4), table)


def test_a_rotation_puts_columns_together_that_vary_together():
    """Column i + 4 repeats column i: in runs of two neighbours no book sees that, after a rotation it does."""
    half = np.random.default_rng(0).normal(size=(500, 4))
    table = np.concatenate([half, half], axis=1).astype(np.float32)
    plain, turned = (Codebooks(codes=4, bits=4, rotate=rotate) for rotate in (False, True))
    assert error(turned, table) < error(plain, table) / 2


def test_the_rotation_is_one():
    table = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    turn = learn_rotation(table, 3, 16, np.random.default_rng(0), rounds=5)
    np.testing.assert_allclose(turn @ turn.T, np.eye(6), atol=1e-5)


def test_lengths_of_their_own_help_where_directions_repeat_and_lengths_differ():
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(16, 4))
    table = (directions[generator.integers(16, size=300)] * generator.lognormal(size=(300, 1))).astype(np.float32)
    form = Codebooks(codes=1, bits=4, unit_rows=True, books=Float32(), lengths=Float32())
    assert error(form, table) < error(form.with_changes(unit_rows=False), table) / 10


def test_the_seed_decides_and_nothing_else_does():
    table = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    form = Codebooks(codes=2, bits=4, rounds=2)
    np.testing.assert_array_equal(form.encode(table)["codes"], form.encode(table)["codes"])
    assert (form.with_changes(seed=1).encode(table)["codes"] != form.encode(table)["codes"]).any()


def test_more_rounds_make_less_error():
    table = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    assert error(Codebooks(codes=2, bits=4), table) < error(Codebooks(codes=2, bits=4, rounds=1), table)


@pytest.mark.parametrize("bits", [4, 8])
def test_a_large_table_is_learnt_from_a_sample_and_stored_whole(bits, monkeypatch):
    monkeypatch.setattr("distilrec.storage.codebooks._POINTS_PER_CENTROID", 2)
    table = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    form = Codebooks(codes=2, bits=bits, rounds=2)
    parts = form.encode(table)
    assert len(parts["codes"]) == 600
    plain = form.plain(parts)
    np.testing.assert_array_equal(assign(table, plain["books"]), plain["codes"])
    np.testing.assert_array_equal(form.decode(parts), join(plain["books"], plain["codes"]))
