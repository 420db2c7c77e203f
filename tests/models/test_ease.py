import sys

import numpy as np
import pytest

from distilrec.config import parse
from distilrec.errors import ArtifactError, DataError, MissingExtraError, SettingsError
from distilrec.models import ease
from distilrec.models.ease import EASE, EASESettings
from distilrec.types import Batch, Ragged, Scorer

SEQUENCES = Ragged.of([[0, 1, 2], [0, 1], [1, 0, 1], [3, 4], [4, 3], [2, 4]])


def fit(l2=2.0, sequences=SEQUENCES, n_items=5):
    return EASE.fit(sequences, n_items=n_items, settings=EASESettings(l2=l2))


def textbook(sequences, n_items, l2):
    """Steck 2019, algorithm 1, line by line."""
    X = np.zeros((len(sequences), n_items))
    for user, items in enumerate(sequences):
        X[user, items] = 1
    P = np.linalg.inv(X.T @ X + l2 * np.eye(n_items))
    B = P / -np.diag(P)
    np.fill_diagonal(B, 0)
    return B


@pytest.mark.parametrize("l2", [0.5, 2.0, 300.0])
def test_the_weights_are_those_of_the_textbook(l2):
    assert fit(l2).weights == pytest.approx(textbook(SEQUENCES, 5, l2), abs=1e-6)


@pytest.mark.parametrize("single_precision", [True, False])
def test_a_larger_world_agrees_in_either_precision(monkeypatch, single_precision):
    draw = np.random.default_rng(0)
    sequences = Ragged.of([draw.integers(0, 60, 12) for _ in range(200)])
    monkeypatch.setattr(ease, "_DOUBLE_BELOW", 0 if single_precision else 60)
    weights = fit(5, sequences, 60).weights
    assert weights.dtype == np.float32
    assert weights == pytest.approx(textbook(sequences, 60, 5), abs=1e-5)


def test_two_items_always_used_together_by_hand():
    # 3 users had both: gram [[3, 3], [3, 3]], plus l2 1 on the diagonal; each is then 3 / 4 of the other
    weights = fit(1, Ragged.of([[0, 1]] * 3), 2).weights
    assert weights == pytest.approx(np.array([[0, 3 / 4], [3 / 4, 0]]))


def test_a_matrix_larger_than_one_block_is_mirrored_whole():
    upper = np.triu(np.arange(1.0, 26).reshape(5, 5))
    expected = np.triu(upper) + np.triu(upper, 1).T
    assert np.array_equal(ease._mirrored(upper + np.tril(np.full((5, 5), 99.0), -1), step=2), expected)


def test_a_score_is_the_sum_of_the_historys_rows():
    model = fit()
    row = model.scores(Batch.of([[3, 0]]))[0]
    assert row == pytest.approx(model.weights[0] + model.weights[3])
    assert row.dtype == np.float32


def test_an_item_repeated_in_the_history_counts_once():
    rows = fit().scores(Batch.of([[0, 1], [1, 0, 0, 1]]))
    assert np.array_equal(rows[0], rows[1])


def test_without_history_every_score_is_zero():
    assert not fit().scores(Batch.of([[]])).any()


def test_one_case_is_scored_as_in_a_batch_of_many():
    model, histories = fit(), [[0], [], [3, 4, 1]]
    together = model.scores(Batch.of(histories))
    for row, history in zip(together, histories, strict=True):
        assert np.array_equal(row, model.scores(Batch.of([history]))[0])


def test_every_position_is_scored_as_the_history_up_to_it():
    model, histories = fit(), [[0, 3, 0, 1, 3], [], [4], [2, 2, 2]]
    beginnings = [history[:end] for history in histories for end in range(1, len(history) + 1)]
    at_positions = model.position_scores(Batch.of(histories))
    assert (at_positions.shape, at_positions.dtype) == ((5 + 0 + 1 + 3, 5), np.float32)
    assert at_positions == pytest.approx(model.scores(Batch.of(beginnings)), abs=1e-6)


def test_scoring_positions_leaves_the_weights_as_they_were():
    model = fit()
    before = model.weights.copy()
    model.position_scores(Batch.of([[1, 1, 2]]))
    assert np.array_equal(model.weights, before)


def test_items_used_together_are_found():
    scores = fit().scores(Batch.of([[0], [3]]))
    assert scores.argmax(axis=1).tolist() == [1, 4]


def test_it_is_a_scorer_of_the_whole_catalogue():
    model = fit()
    assert isinstance(model, Scorer)
    assert (model.kind, model.n_items, model.n_parameters) == ("ease", 5, 5 * 4)


def test_more_l2_makes_smaller_weights():
    assert np.abs(fit(100).weights).max() < np.abs(fit(1).weights).max()


def test_its_state_makes_the_same_model():
    model = fit()
    again = EASE.from_state(model.settings, model.state())
    assert np.array_equal(again.weights, model.weights)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"B": np.zeros((2, 2))}, "the state of ease holds B; expected weights"),
        ({"weights": np.zeros(4)}, r"ease: weights has shape \(4,\); expected 2 dimensions"),
        ({"weights": np.zeros((2, 3))}, r"weights has shape \(2, 3\); expected as many rows as columns"),
        ({"weights": np.full((2, 2), np.inf)}, "weights contains NaN or infinity"),
    ],
)
def test_damaged_state_is_refused(state, message):
    with pytest.raises(ArtifactError, match=message):
        EASE.from_state(EASESettings(), state)


def test_a_catalogue_too_large_to_invert_is_refused_before_any_work():
    with pytest.raises(SettingsError, match=r"40,000 x 40,000 items \(6.4 GB.*max_items is 30,000. Use item_knn"):
        fit(n_items=40_000)


def test_the_limit_can_be_set():
    with pytest.raises(SettingsError, match="max_items is 4"):
        EASE.fit(SEQUENCES, n_items=5, settings=EASESettings(max_items=4))


def test_a_matrix_that_cannot_be_inverted_asks_for_more_l2():
    # two items with the same users make the matrix singular, and this l2 is lost beside 1 in float64
    with pytest.raises(SettingsError, match="cannot be inverted with this l2; choose a larger one"):
        fit(1e-30, Ragged.of([[0, 1]]), 2)


def test_items_outside_the_catalogue_are_refused():
    with pytest.raises(DataError, match="item 4 is outside the catalogue of 4 items"):
        fit(n_items=4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lambda": 5}, "unknown setting 'lambda'"),
        ({"l2": 0}, "l2: Input should be greater than 0"),
        ({"max_items": 0}, "max_items: Input should be greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        parse(EASESettings, values)


@pytest.mark.parametrize("library", ["scipy", "scipy.linalg"])
def test_without_scipy_fitting_says_how_to_install_it(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'distilrec\[train\]'"):
        fit()
