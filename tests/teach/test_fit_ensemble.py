"""Temperatures and weights of members whose worth is known, and the folds of cross-fitting."""

import sys
from dataclasses import dataclass, field

import numpy as np
import pytest

from distilrec.data.batches import Windows
from distilrec.errors import DataError, MissingExtraError, SettingsError
from distilrec.models.popularity import PopularitySettings
from distilrec.teach import ensemble
from distilrec.teach.ensemble import (
    em_step,
    fit_ensemble,
    fit_temperature,
    fit_weights,
    folds_of_users,
    log_probabilities,
    without_fold,
)
from distilrec.types import Cases, Ragged


@dataclass
class Says:
    """Scores a history by its first item: row i of the table where that is item i."""

    table: object
    kind = "says"
    n_parameters = 1
    settings = PopularitySettings()
    asked: list[int] = field(default_factory=list)

    @property
    def n_items(self):
        return np.shape(self.table)[1]

    def scores(self, batch):
        self.asked += batch.items[:, 0].tolist()
        return np.float32(self.table)[batch.items[:, 0]]


def cases(*pairs):
    """A case for each (history, relevant items)."""
    histories, relevant = zip(*pairs, strict=True)
    return Cases(np.arange(len(pairs)), Ragged.of(histories), Ragged.of(relevant))


N_ITEMS = 10
NEXT = cases(*[([item], [(item + 1) % N_ITEMS]) for item in range(N_ITEMS)])  # what follows item i is item i + 1
ROWS = np.arange(N_ITEMS)
RIGHT = 5.0 * ((ROWS[:, None] + 1) % N_ITEMS == ROWS)  # [history, item], 5 where it follows
UNIFORM = np.zeros((N_ITEMS, N_ITEMS))
BACKWARDS = 5.0 * ((ROWS[:, None] - 1) % N_ITEMS == ROWS)


def fit(*tables, asked=NEXT, **options):
    return fit_ensemble([Says(table) for table in tables], asked, **options).settings


def test_a_member_that_is_always_right_gets_nearly_all_the_weight():
    assert fit(UNIFORM, RIGHT).weights[1] > 0.999


def test_members_that_are_right_on_half_of_the_cases_each_get_half_each():
    even = (ROWS % 2 == 0)[:, None]
    assert fit(RIGHT * even, RIGHT * ~even).weights == pytest.approx([1 / 2, 1 / 2], abs=1e-3)


def test_a_member_that_knows_nothing_keeps_temperature_one():
    assert fit(UNIFORM, RIGHT).temperatures[0] == 1


def test_a_member_that_is_always_wrong_is_made_to_say_nothing():
    wrong = Says(BACKWARDS)
    temperature = fit_temperature(wrong, NEXT)
    logs = log_probabilities(wrong, NEXT, temperature)
    assert logs == pytest.approx(np.log(1 / 9), abs=0.01)  # of ten items, one is in the history


def test_the_temperature_makes_an_over_confident_member_as_sure_as_it_is_right():
    # it says item 1 by a logit of 4, and is right three times in four: a logit of log 3 is honest
    asked = cases(*[([0], [1])] * 3, ([0], [2]))
    temperature = fit_temperature(Says([[0.0, 4.0, 0.0]]), asked)
    assert temperature == pytest.approx(4 / np.log(3), rel=1e-2)
    assert temperature > 1


def test_the_temperature_follows_the_scale_of_the_scores():
    asked = cases(*[([0], [1])] * 3, ([0], [2]))
    ones, thousands = (fit_temperature(Says([[0.0, scale, 0.0]]), asked) for scale in (1, 1000))
    assert thousands == pytest.approx(1000 * ones, rel=1e-2)


def test_items_of_the_history_are_out_of_the_question_unless_asked_for():
    loves_the_past = Says([[9.0, 0.0, 0.0, 0.0]])
    asked = cases(([0], [1]))
    assert log_probabilities(loves_the_past, asked, 1.0) == pytest.approx([np.log(1 / 3)])
    kept = log_probabilities(loves_the_past, asked, 1.0, exclude_history=False)
    assert kept == pytest.approx([-np.log(3 + np.exp(9))], rel=1e-4)


def test_what_a_member_says_of_the_history_costs_it_no_weight():
    with_past = RIGHT + 50 * np.eye(N_ITEMS)
    assert fit(with_past, UNIFORM).weights[0] > 0.999
    assert fit(with_past, UNIFORM, exclude_history=False).weights[0] < 0.9


def test_the_ensemble_leaves_the_history_out_where_its_fitting_did():
    assert fit(RIGHT, UNIFORM).exclude_history
    assert not fit(RIGHT, UNIFORM, exclude_history=False).exclude_history


def test_weights_that_are_given_are_kept_and_temperatures_are_fitted_all_the_same():
    settings = fit(RIGHT, UNIFORM, weights=(0.25, 0.75))
    assert settings.weights == (0.25, 0.75)
    assert settings.temperatures[0] < 1


def test_all_cases_count_the_same_whatever_the_number_of_their_items():
    # each member knows one case; items 3 and 4 are all the same to both, so asking for both is asking for one
    first, second = [[0.0, 9, 0, 0, 0], [0.0] * 5], [[0.0] * 5, [0.0, 0, 0, 8, 8]]
    one, two = (fit(first, second, asked=cases(([0], [1]), ([1], items))).weights for items in ([3], [3, 4]))
    assert two == pytest.approx(one, abs=1e-3)


def test_the_likelihood_never_falls_and_ends_at_the_best():
    draw = np.random.default_rng(0)
    logs, shares = np.log(draw.dirichlet([0.3] * 2, 200)), np.full(200, 1 / 200)
    weights, likelihoods = np.array([0.99, 0.01]), []
    for _ in range(200):
        weights, likelihood = em_step(weights, logs, shares)
        likelihoods.append(likelihood)
    assert (np.diff(likelihoods) >= -1e-12).all()
    grid = np.linspace(0.001, 0.999, 999)[:, None]
    best = grid[np.log(grid * np.exp(logs[:, 0]) + (1 - grid) * np.exp(logs[:, 1])).sum(axis=1).argmax()]
    assert fit_weights(logs)[0] == pytest.approx(best[0], abs=1e-3)


def test_probabilities_too_small_for_a_number_still_have_weights():
    assert fit_weights(np.array([[-2000.0, -3000.0], [-5000.0, -4000.0]])) == pytest.approx([1 / 2, 1 / 2])


def test_a_weight_of_zero_stays_zero_without_a_warning():
    weights, _ = em_step(np.array([1.0, 0.0]), np.log([[0.5, 0.9]]), np.ones(1))
    assert weights.tolist() == [1, 0]


def test_no_more_than_max_cases_are_looked_at_and_the_seed_draws_them():
    def drawn(seed):
        member = Says(RIGHT)
        fit_ensemble([member, Says(UNIFORM)], NEXT, max_cases=4, seed=seed)
        return set(member.asked)

    assert len(drawn(0)) == 4
    assert drawn(0) == drawn(0) != drawn(1)


def test_a_temperature_looks_at_as_many_cases_as_fit_in_memory(monkeypatch):
    monkeypatch.setattr(ensemble, "_HELD_NUMBERS", 3 * N_ITEMS)
    member = Says(RIGHT)
    fit_temperature(member, NEXT)
    assert member.asked == [0, 1, 2]


def test_cases_are_scored_a_few_at_a_time_to_the_same_result(monkeypatch):
    whole = log_probabilities(Says(RIGHT), NEXT, 2.0)
    monkeypatch.setattr(ensemble, "_CHUNK_NUMBERS", 3 * N_ITEMS)
    np.testing.assert_array_equal(log_probabilities(Says(RIGHT), NEXT, 2.0), whole)


def test_the_members_scores_are_not_changed():
    """A member may give what it keeps; minus infinity must not be written into it for good."""
    table = np.float32(RIGHT)
    fit(table, UNIFORM)
    assert np.isfinite(table).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"asked": cases(([1, 2], [2]))}, DataError, "relevant item 2 of user 0 is in the history, which is excluded"),
        ({"asked": Cases(np.arange(0), Ragged.of([]), Ragged.of([]))}, DataError, "no validation cases to fit"),
        ({"max_cases": 0}, SettingsError, "max_cases is 0; expected at least 1"),
        ({"weights": (0.5, 0.6)}, SettingsError, "which sum to 1.1; expected a sum of 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        fit(RIGHT, UNIFORM, **options)


def test_one_member_or_none_is_refused():
    with pytest.raises(SettingsError, match="two members or more; got 1"):
        fit(RIGHT)
    with pytest.raises(SettingsError, match="two members or more; got 0"):
        fit()


def test_a_member_whose_scores_are_no_numbers_is_refused_by_name():
    with pytest.raises(DataError, match="the says scores items with NaN or infinity; an ensemble cannot use it"):
        fit(RIGHT, np.full((N_ITEMS, N_ITEMS), np.nan))


def test_without_scipy_fitting_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtraError, match=r"scipy is not installed. Run: pip install 'distilrec\[train\]'"):
        fit(RIGHT, UNIFORM)


def test_folds_are_equal_parts_drawn_by_the_seed():
    folds = folds_of_users(11, 3, seed=0)
    assert sorted(np.bincount(folds)) == [3, 4, 4]
    assert np.array_equal(folds, folds_of_users(11, 3, seed=0))
    assert not np.array_equal(folds, folds_of_users(11, 3, seed=1))
    assert not np.array_equal(folds, np.arange(11) % 3)


@pytest.mark.parametrize("folds", [1, 12])
def test_folds_that_divide_nothing_are_refused(folds):
    with pytest.raises(SettingsError, match=f"there are {folds} folds for 11 users; expected from 2 to one for each"):
        folds_of_users(11, folds, seed=0)


def test_without_a_fold_its_users_have_no_events_and_the_others_keep_theirs():
    sequences, folds = Ragged.of([[1, 2], [3], [], [4, 5, 6]]), np.array([1, 0, 1, 1])
    assert [row.tolist() for row in without_fold(sequences, folds, 0)] == [[1, 2], [], [], [4, 5, 6]]
    assert [row.tolist() for row in without_fold(sequences, folds, 1)] == [[], [3], [], []]


def test_windows_are_cut_from_what_is_left_with_the_owners_they_had():
    left = without_fold(Ragged.of([[1, 2], [3, 4, 5], [6, 7]]), np.array([0, 1, 0]), 0)
    windows = Windows.cut(left, max_length=2)
    assert (windows.owners.tolist(), windows.pieces[0].tolist()) == ([1], [3, 4, 5])


def test_folds_of_other_users_are_refused():
    with pytest.raises(DataError, match="there are folds for 3 users and 2 sequences; expected as many"):
        without_fold(Ragged.of([[1], [2]]), np.array([0, 1, 0]), 0)
