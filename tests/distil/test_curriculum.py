"""A curriculum goes from the easiest windows to all of them."""

import numpy as np
import pytest

from distilrec.config import parse
from distilrec.distil.curriculum import CurriculumSettings, chosen_windows, difficulty_by_length, share_at
from distilrec.errors import SettingsError


def shares(*progress, **settings):
    return [pytest.approx(share_at(CurriculumSettings(**settings), p)) for p in progress]


def test_training_begins_with_the_first_share_and_is_full_when_it_was_to_be():
    assert shares(0.0, 0.4, 0.9, 1.0, start_share=0.2, full_at=0.4) == [0.2, 1.0, 1.0, 1.0]


def test_the_share_grows_with_the_root_of_progress():
    """The square grows along a line: from 0.36 to 1, it is 0.52 after a quarter of the way and 0.68 after half."""
    assert shares(0.125, 0.25, start_share=0.6, full_at=0.5) == [0.52**0.5, 0.68**0.5]


def test_the_share_never_falls():
    settings = CurriculumSettings(start_share=0.1, full_at=0.7)
    along = [share_at(settings, progress) for progress in np.linspace(0, 1, 101)]
    assert np.all(np.diff(along) >= 0)
    assert along[-1] == 1


def test_a_first_share_of_one_is_no_curriculum():
    assert shares(0.0, 0.3, start_share=1.0) == [1.0, 1.0]


def test_the_easiest_windows_come_first():
    difficulty = np.array([3, 1, 4, 2], np.float32)
    assert chosen_windows(difficulty, 0.5).tolist() == [1, 3]
    assert chosen_windows(difficulty, 1.0).tolist() == [1, 3, 0, 2]


def test_there_is_always_a_window():
    assert chosen_windows(np.array([2, 1], np.float32), 0.0).tolist() == [1]


def test_the_share_is_rounded_to_whole_windows():
    difficulty = np.arange(100, dtype=np.float32)
    assert len(chosen_windows(difficulty, 0.07)) == 7  # 0.07 * 100 is a little more than 7
    assert len(chosen_windows(difficulty, 0.069)) == 7


def test_a_window_that_is_in_stays_in_though_many_are_equally_hard():
    difficulty = np.random.default_rng(0).integers(0, 3, 50).astype(np.float32)
    before = set()
    for share in np.linspace(0, 1, 20):
        now = set(chosen_windows(difficulty, share).tolist())
        assert before <= now
        before = now
    assert len(before) == 50


def test_a_long_window_is_hard():
    assert chosen_windows(difficulty_by_length(np.array([9, 2, 5])), 2 / 3).tolist() == [1, 2]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_zero_and_one_is_refused(share):
    with pytest.raises(SettingsError, match=f"the share of windows is {share}; expected a number between 0 and 1"):
        chosen_windows(np.zeros(3, np.float32), share)


def test_a_difficulty_that_is_no_number_is_refused():
    """It would come last or first by chance of the sort."""
    with pytest.raises(SettingsError, match="the difficulty of window 1 is NaN"):
        chosen_windows(np.array([0, np.nan], np.float32), 0.5)


@pytest.mark.parametrize("shape", [(0,), (3, 1)])
def test_difficulties_are_one_for_each_window(shape):
    with pytest.raises(SettingsError, match="expected one number for each training window"):
        chosen_windows(np.zeros(shape, np.float32), 0.5)


@pytest.mark.parametrize("wrong", [{"start_share": 0}, {"start_share": 1.1}, {"full_at": 0}, {"by": "age"}])
def test_settings_out_of_range_are_refused(wrong):
    (field,) = wrong
    with pytest.raises(SettingsError, match=f"curriculum: {field}: "):
        parse(CurriculumSettings, wrong, where="curriculum")
