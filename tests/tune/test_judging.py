"""What validation says of a point, and whether a test shows it among many."""

import numpy as np
import polars as pl
import pytest

from distilrec.compress.ladder import FIRST
from distilrec.errors import SettingsError
from distilrec.evaluate.evaluation import Evaluation
from distilrec.evaluate.verdicts import holm
from distilrec.tune.judging import Judged, corrected_p_values, judged


def evaluation(values):
    return Evaluation(pl.DataFrame({"user": range(len(values)), "ndcg@10": values}), {})


FOUND = np.tile([0.0, 1.0], 200)  # of 400 users half find what they want
AS_GOOD = evaluation(FOUND)
HALF_PER_CENT_LOST = evaluation(np.where(np.arange(400) == 1, 0, FOUND))  # one of 200 who found it
TWENTY_PER_CENT_LOST = evaluation(np.where(np.arange(400) < 80, 0, FOUND))


def test_a_loss_far_within_the_margin_is_shown_and_one_beyond_it_is_not():
    assert judged(HALF_PER_CENT_LOST, AS_GOOD, "ndcg@10", 0.05).p_value < 0.001
    assert judged(TWENTY_PER_CENT_LOST, AS_GOOD, "ndcg@10", 0.05).p_value > 0.9


def test_a_mean_within_the_margin_is_not_always_shown():
    found = judged(HALF_PER_CENT_LOST, AS_GOOD, "ndcg@10", 0.006)
    assert found.comparison.result.difference == pytest.approx(-1 / 400)
    assert 0.05 < found.p_value < 0.9


@pytest.mark.parametrize("margin", [None, 0.0])
def test_without_a_margin_nothing_is_tested(margin):
    assert judged(HALF_PER_CENT_LOST, AS_GOOD, "ndcg@10", margin).p_value is None


def test_p_values_are_corrected_for_all_points_but_the_uncompressed_one():
    comparison = judged(AS_GOOD, AS_GOOD, "ndcg@10", None).comparison
    points = {name: Judged(comparison, p) for name, p in ((FIRST, 0.001), ("a", 0.02), ("b", 0.03), ("c", 0.9))}
    assert corrected_p_values(points) == dict(zip((FIRST, "a", "b", "c"), (0.0, *holm([0.02, 0.03, 0.9])), strict=True))
    assert corrected_p_values(points)["a"] == pytest.approx(3 * 0.02)  # alone it would be shown


def test_a_student_without_any_quality_has_none_to_keep():
    nothing = evaluation(np.zeros(40))
    with pytest.raises(SettingsError, match="the student's ndcg@10 on validation is 0, so there is no quality to keep"):
        judged(nothing, nothing, "ndcg@10", 0.01)
