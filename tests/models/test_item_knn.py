import sys

import numpy as np
import pytest

from distilrec.config import parse
from distilrec.errors import ArtifactError, DataError, MissingExtraError, SettingsError
from distilrec.models.item_knn import ItemKNN, ItemKNNSettings
from distilrec.types import Batch, Ragged, Scorer

# Two groups of users who never meet: items 0, 1, 2 and items 3, 4. Nobody used item 5.
TWO_GROUPS = Ragged.of([[0, 1, 2], [0, 1], [1, 0, 1], [3, 4], [4, 3]])
PLAIN = ItemKNNSettings(shrinkage=0, recency_half_life=None)


def fit(settings=PLAIN, sequences=TWO_GROUPS, n_items=6):
    return ItemKNN.fit(sequences, n_items=n_items, settings=settings)


def scores_of(model, *histories):
    return model.scores(Batch.of(histories))


def test_similarity_is_the_cosine_between_the_users_of_two_items():
    # items 0 and 1 share all of their 3 users; item 2 has one of them
    row = scores_of(fit(), [0])[0]
    assert row == pytest.approx([0, 1, 1 / np.sqrt(3), 0, 0, 0])


def test_a_history_stays_inside_its_group():
    row = scores_of(fit(), [3])[0]
    assert row == pytest.approx([0, 0, 0, 0, 1, 0])


def test_the_similarities_to_all_items_of_a_history_are_added():
    row = scores_of(fit(), [0, 1])[0]
    assert row == pytest.approx([1, 1, 2 / np.sqrt(3), 0, 0, 0])


def test_an_item_repeated_in_the_history_counts_once():
    rows = scores_of(fit(), [0, 1], [0, 1, 0, 0])
    assert np.array_equal(rows[0], rows[1])


def test_shrinkage_is_added_below_the_fraction():
    row = scores_of(fit(ItemKNNSettings(shrinkage=3)), [0])[0]
    assert row[1] == pytest.approx(3 / (3 + 3))
    assert row[2] == pytest.approx(1 / (np.sqrt(3) + 3))


def test_only_the_nearest_neighbours_are_kept():
    model = fit(ItemKNNSettings(shrinkage=0, neighbours=1))
    assert scores_of(model, [0])[0] == pytest.approx([0, 1, 0, 0, 0, 0])
    assert model.n_parameters == 5  # one each, but for the item that nobody used


def test_of_equal_neighbours_the_first_rows_are_kept():
    everything_once = Ragged.of([[3, 2, 1, 0]])
    model = fit(ItemKNNSettings(shrinkage=0, neighbours=2), everything_once, n_items=4)
    assert scores_of(model, [3])[0].tolist() == [1, 1, 0, 0]


def test_a_half_life_makes_older_items_count_less():
    model = fit(ItemKNNSettings(shrinkage=0, recency_half_life=1))
    row = scores_of(model, [3, 0])[0]
    assert row[1] == pytest.approx(1)
    assert row[4] == pytest.approx(1 / 2)


def test_a_repeated_item_is_as_old_as_its_last_use():
    model = fit(ItemKNNSettings(shrinkage=0, recency_half_life=1))
    assert scores_of(model, [3, 0, 3])[0][4] == pytest.approx(1)


@pytest.mark.parametrize("half_life", [None, 0.5, 1, 10])
def test_every_position_is_scored_as_the_history_up_to_it(half_life):
    model, histories = fit(ItemKNNSettings(recency_half_life=half_life)), [[0, 3, 0, 1, 3, 0], [], [4], [2, 2, 2]]
    beginnings = [history[:end] for history in histories for end in range(1, len(history) + 1)]
    at_positions = model.position_scores(Batch.of(histories))
    assert (at_positions.shape, at_positions.dtype) == ((6 + 0 + 1 + 3, 6), np.float32)
    assert at_positions == pytest.approx(scores_of(model, *beginnings), abs=1e-6)


def test_without_history_every_score_is_zero():
    assert not scores_of(fit(), []).any()


def test_one_case_is_scored_as_in_a_batch_of_many():
    model = fit()
    together = scores_of(model, [0], [3, 4], [], [2, 1, 0])
    for row, history in zip(together, [[0], [3, 4], [], [2, 1, 0]], strict=True):
        assert np.array_equal(row, scores_of(model, history)[0])


def test_it_is_a_scorer_of_the_whole_catalogue():
    model = fit()
    assert isinstance(model, Scorer)
    assert (model.kind, model.n_items) == ("item_knn", 6)
    assert scores_of(model, [0]).dtype == np.float32


def test_a_catalogue_of_one_item_has_no_neighbours():
    assert scores_of(fit(sequences=Ragged.of([[0]]), n_items=1), [0]).tolist() == [[0]]


def test_its_state_makes_the_same_model():
    model = fit()
    again = ItemKNN.from_state(model.settings, model.state())
    assert np.array_equal(scores_of(again, [0, 3]), scores_of(model, [0, 3]))


def test_damaged_state_is_refused():
    state = fit().state()
    beyond = state["neighbours"].copy()
    beyond[0] = 6

    def refused(changed, message):
        with pytest.raises(ArtifactError, match=message):
            ItemKNN.from_state(PLAIN, changed)

    refused({"offsets": state["offsets"]}, "holds offsets; expected neighbours, offsets, similarities")
    refused({**state, "offsets": state["offsets"][:-2]}, "offsets do not cut the pairs into items")
    refused({**state, "similarities": state["similarities"][1:]}, "8 neighbours and 7 similarities")
    refused({**state, "similarities": state["similarities"] * np.nan}, "similarities contains NaN")
    refused({**state, "neighbours": beyond}, "a neighbour is outside the catalogue of 6 items")


def test_items_outside_the_catalogue_are_refused():
    with pytest.raises(DataError, match="item 4 is outside the catalogue of 4 items"):
        fit(n_items=4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"neighbors": 5}, "unknown setting 'neighbors'; did you mean 'neighbours'"),
        ({"neighbours": 0}, "neighbours: Input should be greater than or equal to 1"),
        ({"shrinkage": -1}, "shrinkage: Input should be greater than or equal to 0"),
        ({"recency_half_life": 0}, "recency_half_life: Input should be greater than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        parse(ItemKNNSettings, values)


def test_without_scipy_fitting_says_how_to_install_it_and_scoring_still_works(monkeypatch):
    model = fit()
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert scores_of(model, [0])[0][1] == 1
    with pytest.raises(MissingExtraError, match=r"scipy is not installed. Run: pip install 'distilrec\[train\]'"):
        fit()
