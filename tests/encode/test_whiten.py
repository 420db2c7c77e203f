import numpy as np
import pytest

from distilrec.encode.whiten import project
from distilrec.errors import DataError, SettingsError

# Variance 9 along (1, 1) / sqrt 2 and variance 1 across it, around the mean (5, 7).
CROSS = np.array([[3, 3], [-3, -3], [1, -1], [-1, 1]], dtype=np.float32) + np.array([5, 7], dtype=np.float32)


def random_vectors(n=200, width=8):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) + 10).astype(np.float32)


def test_pca_turns_to_the_direction_of_most_variance():
    expected = np.array([[3 * 2**0.5], [-3 * 2**0.5], [0], [0]])
    np.testing.assert_allclose(project(CROSS, width=1, kind="pca", unit_length=False), expected, atol=1e-6)


def test_whitening_gives_every_direction_variance_one_and_none_depends_on_another():
    white = project(random_vectors(), width=5, unit_length=False)
    assert white.dtype == np.float32
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(5), atol=1e-4)


def test_rows_have_unit_length_unless_asked_otherwise():
    np.testing.assert_allclose(np.linalg.norm(project(random_vectors(), width=3), axis=1), 1, atol=1e-6)


def test_none_keeps_the_vectors():
    np.testing.assert_array_equal(project(CROSS, width=2, kind="none", unit_length=False), CROSS)


def test_none_cannot_change_the_width():
    with pytest.raises(SettingsError, match="width is 1, but the vectors have 2 columns and kind is 'none'"):
        project(CROSS, width=1, kind="none")


def test_the_sign_is_fixed_by_the_largest_component():
    """Negating all vectors negates the projection: the directions stay."""
    vectors = random_vectors()
    there = project(vectors, width=4, unit_length=False)
    np.testing.assert_allclose(project(-vectors, width=4, unit_length=False), -there, atol=1e-4)
    np.testing.assert_array_equal(project(vectors.copy(), width=4, unit_length=False), there)


@pytest.mark.parametrize("kind", ["whiten", "pca"])
def test_a_row_of_zeros_stays_zero_and_moves_no_other(kind):
    vectors = random_vectors()
    with_gap = np.insert(vectors, 3, 0, axis=0)
    projected = project(with_gap, width=4, kind=kind)
    assert not projected[3].any()
    np.testing.assert_allclose(np.delete(projected, 3, axis=0), project(vectors, width=4, kind=kind), atol=1e-6)


def test_a_row_equal_to_the_mean_stays_zero_instead_of_becoming_a_random_direction():
    vectors = np.vstack([CROSS, CROSS.mean(axis=0, keepdims=True)])
    assert not project(vectors, width=2)[4].any()


def test_more_directions_than_the_vectors_vary_in_are_refused():
    thin = random_vectors(width=3) @ np.eye(3, 8, dtype=np.float32)
    with pytest.raises(SettingsError, match=r"width is 4, but 200 vectors of 8 columns vary in 3 independent"):
        project(thin, width=4)
    assert project(thin, width=3).shape == (200, 3)


@pytest.mark.parametrize("vectors", [np.ones((5, 3)), np.zeros((5, 3)), np.ones((1, 3))])
def test_vectors_that_are_all_the_same_are_refused(vectors):
    with pytest.raises(SettingsError, match="vary in 0 independent directions"):
        project(vectors, width=1)


@pytest.mark.parametrize("width", [0, -1])
def test_a_width_below_one_is_refused(width):
    with pytest.raises(SettingsError, match="expected a width from 1 to 2"):
        project(CROSS, width=width)


def test_nan_is_refused_with_its_row():
    vectors = CROSS.copy()
    vectors[2, 0] = np.nan
    with pytest.raises(DataError, match="1 of 4 vectors hold NaN or infinity, the first in row 2"):
        project(vectors, width=1)


def test_anything_but_rows_and_columns_is_refused():
    with pytest.raises(DataError, match=r"vectors have shape \(4,\); expected \(items, width\)"):
        project(CROSS[:, 0], width=1)


def test_an_unknown_kind_is_refused():
    with pytest.raises(SettingsError, match="kind is 'zca'; expected whiten, pca or none"):
        project(CROSS, width=1, kind="zca")
