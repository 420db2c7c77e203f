import numpy as np
import pytest

from distilrec.errors import DataError, SettingsError
from distilrec.evaluate.bootstrap import (
    Interval,
    bootstrap_interval,
    bootstrap_intervals,
    paired_bootstrap,
    resampled_means,
)

COIN = np.array([0.0, 1.0] * 500)


def test_a_constant_has_an_interval_of_no_width():
    assert bootstrap_interval(np.full(10, 0.25)) == Interval(0.25, 0.25, 0.25)


def test_the_interval_of_a_coin_is_two_standard_errors_each_way():
    # the standard error of 1,000 coins is sqrt(0.25 / 1000) = 0.0158
    interval = bootstrap_interval(COIN)
    assert interval.mean == 0.5
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.0158, abs=0.003)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.0158, abs=0.003)


def test_a_lower_level_gives_a_narrower_interval():
    wide, narrow = bootstrap_interval(COIN), bootstrap_interval(COIN, level=0.5)
    assert wide.low < narrow.low < 0.5 < narrow.high < wide.high


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    assert bootstrap_interval(COIN) == bootstrap_interval(COIN)
    assert bootstrap_interval(COIN) != bootstrap_interval(COIN, seed=1)


def test_columns_are_resampled_together_and_alike():
    together = bootstrap_intervals(np.stack([COIN, 1 - COIN], axis=1))
    assert together[0] == bootstrap_interval(COIN)
    assert together[0].low == pytest.approx(1 - together[1].high)


def test_resampled_means_scatter_around_the_mean():
    means = resampled_means(COIN[:, None], resamples=500)
    assert means.shape == (500, 1)
    assert means.std() == pytest.approx(0.0158, rel=0.1)


def test_an_interval_prints_as_people_write_it():
    assert str(Interval(0.051, 0.049, 0.0531)) == "0.0510 (0.0490 to 0.0531)"


def test_identical_models_have_p_of_one_and_say_so():
    result = paired_bootstrap(COIN, COIN)
    assert (result.difference, result.p_value, result.n) == (0, 1, 1000)
    assert result.identical


def test_a_clear_difference_has_the_smallest_p_there_is_and_never_zero():
    result = paired_bootstrap(COIN + 0.1, COIN, resamples=999)
    assert result.difference == pytest.approx(0.1)
    assert result.p_value == 1 / 1000
    assert not result.identical


def test_swapping_the_models_turns_the_sign_and_keeps_the_p_value():
    better = np.where(np.arange(1000) % 10 == 0, 1.0, COIN)
    forward, backward = paired_bootstrap(better, COIN), paired_bootstrap(COIN, better)
    assert forward.difference == -backward.difference
    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low))
    assert forward.p_value == backward.p_value


def test_the_p_value_of_a_difference_of_one_standard_error_is_about_a_third():
    # differences of +1 and -1 have a standard error of 1 / sqrt(1000); 516 against 484 is 0.032, one of them
    differences = np.repeat([1.0, -1.0], [516, 484])
    assert paired_bootstrap(differences, np.zeros(1000)).p_value == pytest.approx(0.32, abs=0.05)


def test_pairing_finds_what_two_intervals_would_miss():
    always_a_little_better = COIN + np.linspace(0.001, 0.003, 1000)
    assert bootstrap_interval(COIN).high > bootstrap_interval(always_a_little_better).low
    assert paired_bootstrap(always_a_little_better, COIN).p_value < 0.001


def test_different_numbers_of_users_are_refused():
    with pytest.raises(DataError, match=r"a has shape \(2,\) and b \(3,\).*same users"):
        paired_bootstrap(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(0), "no users to resample"),
        (np.array([1, np.nan]), "contain NaN or infinity"),
        (np.zeros((2, 2)), r"shape \(2, 2\); expected one number per user"),
    ],
)
def test_values_that_cannot_be_resampled_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        bootstrap_interval(values)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(SettingsError, match="level is 95; expected a share"):
        bootstrap_interval(COIN, level=95)
    with pytest.raises(SettingsError, match="resamples is 0; expected at least 1"):
        bootstrap_interval(COIN, resamples=0)
