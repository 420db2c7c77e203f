import numpy as np
import pytest

from distilrec.config import parse
from distilrec.errors import ArtifactError, DataError, SettingsError
from distilrec.models.popularity import Popularity, PopularitySettings
from distilrec.types import Batch, Ragged, Scorer

SEQUENCES = Ragged.of([[0, 1, 1], [1, 2], []])


def test_items_are_scored_by_how_often_they_were_used():
    model = Popularity.fit(SEQUENCES, n_items=4)
    scores = model.scores(Batch.of([[0], [], [1, 2]]))
    assert scores.dtype == np.float32
    assert scores.shape == (3, 4)
    for row in scores:
        assert np.allclose(np.expm1(row), [1, 3, 1, 0])


def test_it_is_a_scorer_of_the_whole_catalogue():
    model = Popularity.fit(SEQUENCES, n_items=4)
    assert isinstance(model, Scorer)
    assert (model.kind, model.n_items, model.n_parameters) == ("popularity", 4, 4)


def test_scores_of_one_case_can_be_changed_without_touching_another():
    model = Popularity.fit(SEQUENCES, n_items=4)
    scores = model.scores(Batch.of([[0], [1]]))
    scores[0, 0] = -np.inf
    assert np.isfinite(scores[1]).all()


def test_its_state_makes_the_same_model():
    model = Popularity.fit(SEQUENCES, n_items=4)
    again = Popularity.from_state(model.settings, model.state())
    assert np.array_equal(again.scores(Batch.of([[0]])), model.scores(Batch.of([[0]])))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "the state of popularity holds nothing; expected counts"),
        ({"counts": np.zeros(2), "more": np.zeros(2)}, "holds counts, more; expected counts"),
        ({"counts": np.zeros((2, 2))}, r"popularity: counts has shape \(2, 2\); expected 1 dimensions"),
        ({"counts": np.array([1, np.nan])}, "counts contains NaN or infinity"),
        ({"counts": np.array([1, -1])}, "counts has a negative number"),
    ],
)
def test_damaged_state_is_refused(state, message):
    with pytest.raises(ArtifactError, match=message):
        Popularity.from_state(PopularitySettings(), state)


@pytest.mark.parametrize("item", [-1, 3])
def test_items_outside_the_catalogue_are_refused(item):
    with pytest.raises(DataError, match=f"item {item} is outside the catalogue of 3 items"):
        Popularity.fit(Ragged.of([[0, item]]), n_items=3)


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(DataError, match="no interactions to learn from"):
        Popularity.fit(Ragged.of([[], []]), n_items=3)


def test_there_is_nothing_to_set():
    with pytest.raises(SettingsError, match="unknown setting 'smoothing'"):
        parse(PopularitySettings, {"smoothing": 1})
