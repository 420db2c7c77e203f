import math

import numpy as np
import pytest

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.compare import compare
from distilrec.evaluate.pairs import accuracy, calibration_error, evaluate_pairs, log_loss, rmse


def test_accuracy_is_the_share_on_the_right_side_of_a_half():
    assert accuracy([1, 0, 1, 0], [0.9, 0.1, 0.4, 0.5]) == 2 / 4
    assert accuracy([1, 0], [0.3, 0.1], threshold=0.2) == 1


def test_log_loss_is_the_surprise_at_what_happened():
    assert log_loss([1, 0], [0.5, 0.75]) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_being_sure_and_wrong_is_bad_but_finite():
    assert log_loss([1], [0.0]) == pytest.approx(-math.log(1e-7))


def test_rmse_is_in_the_units_of_the_rating():
    assert rmse([5, 1], [4, 1]) == pytest.approx(math.sqrt(1 / 2))


def test_who_says_a_half_and_sees_a_half_is_calibrated():
    assert calibration_error([1, 0, 1, 0], [0.5] * 4) == 0
    assert calibration_error([1, 1, 1, 1], [0.5] * 4) == 1 / 2


def test_calibration_is_judged_in_each_bin_of_its_own():
    """Too low by 0.1 in one half of the pairs and too high by 0.1 in the other."""
    assert calibration_error([1, 0], [0.9, 0.1]) == pytest.approx(0.1)
    assert calibration_error([1, 0], [0.9, 0.1], bins=1) == pytest.approx(0)


def test_each_user_is_a_row_and_the_pairs_are_pooled():
    found = evaluate_pairs(np.array([7, 7, 3]), [1, 0, 1], [1.0, 1.0, 1.0], kind="clicks", split="test")
    frame = found.evaluation.per_user
    assert frame["user"].to_list() == [3, 7]
    assert frame["n_pairs"].to_list() == [1, 2]
    assert frame["accuracy"].to_list() == [1, 1 / 2]
    assert frame["rmse"].to_list() == [0, math.sqrt(1 / 2)]
    assert found.pooled["accuracy"] == 2 / 3
    assert sorted(found.pooled) == ["accuracy", "calibration_error", "log_loss", "rmse"]
    assert found.evaluation.metrics == ["rmse", "accuracy", "log_loss"]


def test_ratings_have_an_error_and_nothing_else():
    found = evaluate_pairs(np.array([1]), [4], [3.5], kind="ratings")
    assert (found.pooled, found.evaluation.metrics) == ({"rmse": 0.5}, ["rmse"])


def test_two_models_are_compared_user_by_user_on_the_same_pairs_alone():
    users, truths = np.arange(50), np.tile([0, 1], 25)
    good, bad = (evaluate_pairs(users, truths, np.abs(truths - off), kind="clicks") for off in (0.1, 0.4))
    assert compare(good.evaluation, bad.evaluation, metric="rmse").differs
    other = evaluate_pairs(users, 1 - truths, np.abs(truths - 0.1), kind="clicks")
    with pytest.raises(DataError, match="they differ in the cases"):
        compare(good.evaluation, other.evaluation, metric="rmse")


@pytest.mark.parametrize(
    ("truths", "predictions", "message"),
    [
        ([1, 0], [0.5], r"truths have shape \(2,\) and predictions \(1,\); expected one number each a pair"),
        ([], [], r"truths have shape \(0,\)"),
        ([1], [np.nan], "truths or predictions contain NaN or infinity"),
        ([3], [0.5], "truths of clicks are 0 or 1, and others came; judge ratings with kind='ratings'"),
        ([1], [1.5], "predictions of clicks are probabilities from 0 to 1, and others came"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(truths, predictions, message):
    with pytest.raises(DataError, match=message):
        log_loss(truths, predictions)


def test_kinds_users_and_bins_are_checked():
    with pytest.raises(SettingsError, match="kind 'stars' is unknown; choose clicks or ratings"):
        evaluate_pairs(np.array([1]), [1], [1], kind="stars")
    with pytest.raises(DataError, match=r"users have shape \(2,\) and truths \(1,\)"):
        evaluate_pairs(np.array([1, 2]), [1], [1], kind="clicks")
    with pytest.raises(SettingsError, match="bins is 0; expected at least 1"):
        calibration_error([1], [1], bins=0)
